"""What an Aden server says and is told. Nothing on the path of a call imports this room."""
