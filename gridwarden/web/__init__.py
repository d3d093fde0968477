"""Web: API, websockets, followers, the one owner of the history. It may be late, down or restarted; alarms go on."""
