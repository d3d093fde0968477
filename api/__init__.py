"""The outside surface: HTTP, websocket, and the page. One resource a file; every route asks the one access policy."""
