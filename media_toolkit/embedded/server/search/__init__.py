"""The Search API: expressions over the records, pages of what they match, and folders.

https://cloudinary.com/documentation/search_method
"""
