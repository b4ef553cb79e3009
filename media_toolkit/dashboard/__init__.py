"""The Streamlit dashboard: a gate, pages under `views/`, and two browser components."""
