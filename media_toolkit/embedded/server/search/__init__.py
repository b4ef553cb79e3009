"""The Search API's language: expressions and queries, read and turned into SQL.

https://cloudinary.com/documentation/search_method
"""
