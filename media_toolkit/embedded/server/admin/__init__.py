"""The Admin API: `/v1_1/<cloud>/...` with HTTP Basic.

https://cloudinary.com/documentation/admin_api
"""
