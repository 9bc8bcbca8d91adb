// A WebSocket server that sends every message back as what it came. Prints its port.

import { WebSocketServer } from 'ws';

const server = new WebSocketServer({ host: '127.0.0.1', port: 0, maxPayload: 0 });
server.on('listening', () => console.log(server.address().port));
server.on('connection', (socket) => {
  socket.on('message', (message, binary) => socket.send(message, { binary }));
  // A client that breaks the protocol is answered with a Close by then.
  socket.on('error', () => {});
});
