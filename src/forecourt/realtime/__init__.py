"""The socket server: one WebSocket per client, over which it follows topics and says what it does.

    protocol   the door: uvicorn hands over the connection, picows speaks WebSocket on it
    client     one socket: its frames, its queue, its limits
    channel    one topic in this process: who follows it here, up to which number
    people     who is here, in all processes together: the limit of sockets, and presence
    server     all of it together, and its clockwork
    frames     what travels

It knows no module. What may be followed, and what is missing, it asks the `TopicSource` of the topic's prefix; what happens it
hears from the hub (`kernel/live.py`). An event reaches this process encoded; it is framed once and written to everybody who
follows, joined with whatever else the same turn of the loop has for them.

Nothing here is worth keeping. A client that lost its socket says up to which number it knows, and gets what it missed.
"""
