// Socket.IO as its documentation sets it up for several processes: the Redis adapter, here on the same Valkey as ours.
const { createServer } = require("http");
const { Server } = require("socket.io");
const { createClient } = require("redis");
const { createAdapter } = require("@socket.io/redis-adapter");

(async () => {
  const http = createServer((_request, response) => response.end());
  const io = new Server(http, { transports: ["websocket"], perMessageDeflate: false });
  const address = process.env.VALKEY_SOCKET ? { socket: { path: process.env.VALKEY_SOCKET } } : { url: process.env.VALKEY_URL };
  const publisher = createClient(address), subscriber = publisher.duplicate();
  await Promise.all([publisher.connect(), subscriber.connect()]);
  io.adapter(createAdapter(publisher, subscriber));
  io.on("connection", (socket) => {
    socket.join("room");
    socket.on("msg", (message) => io.to("room").emit("msg", message));
  });
  http.listen({ port: Number(process.env.PORT), host: "127.0.0.1", backlog: 4096 });
})();
