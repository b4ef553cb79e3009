"""The pages. Never `pages/`: Streamlit would run its files without `main.py` and its gate."""
