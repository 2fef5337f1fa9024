"""python-socketio with its Redis manager, under uvicorn with uvloop: as its documentation sets it up for several processes."""

import os

import socketio
import uvicorn

manager = socketio.AsyncRedisManager(os.environ["VALKEY_URL"])
sio = socketio.AsyncServer(
    async_mode="asgi", transports=["websocket"], client_manager=manager, logger=False, engineio_logger=False
)


@sio.event
async def connect(sid, environ):
    await sio.enter_room(sid, "room")


@sio.on("msg")
async def msg(sid, message):
    await sio.emit("msg", message, room="room")


async def ready(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})


app = socketio.ASGIApp(sio, other_asgi_app=ready)
if __name__ == "__main__":
    uvicorn.run(app, port=int(os.environ["PORT"]), loop="uvloop", log_level="error", backlog=4096)
