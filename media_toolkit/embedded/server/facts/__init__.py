"""What a file is and what it holds, read from its bytes."""
