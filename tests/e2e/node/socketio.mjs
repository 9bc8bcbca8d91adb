// socket.io: a server, or a client that goes through what an application does over every transport
// and prints as JSON what it saw.
//
//   node socketio.mjs server                 prints its port
//   node socketio.mjs client URL PORT [CA]   dials PORT of loopback whatever host URL names

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';

const [mode, url, port, ca] = process.argv.slice(2);

const digest = (octets) => `${octets.length} ${createHash('sha256').update(octets).digest('hex')}`;

if (mode === 'server') {
  const { Server } = await import('socket.io');
  const web = http.createServer();
  const server = new Server(web, { maxHttpBufferSize: 1 << 24 });
  const gone = [];
  const serve = (socket) => {
    socket.emit('hello', socket.conn.transport.name, socket.handshake.query.own);
    socket.on('echo', (...args) => args.pop()(...args));
    socket.on('count', (to) => {
      for (let number = 0; number < to; number++) {
        socket.emit('number', number, Buffer.alloc(number, number));
      }
    });
    socket.on('join', (room, joined) => {
      socket.join(room);
      joined();
    });
    socket.on('tell', (room, text) => server.to(room).emit('told', text));
    socket.on('ask me', async (done) => done(await socket.timeout(20_000).emitWithAck('question', 41)));
    socket.on('end me', () => socket.disconnect(true));
    socket.on('who left', (name, done) => {
      const look = setInterval(() => {
        if (gone.includes(name)) {
          clearInterval(look);
          done(true);
        }
      }, 20);
    });
    socket.on('disconnect', () => gone.push(socket.handshake.query.own));
  };
  server.on('connection', serve);
  server.of('/admin').on('connection', serve);
  web.listen(0, '127.0.0.1', () => console.log(web.address().port));
} else {
  const { io } = await import('socket.io-client');
  const options = {
    keepAlive: true,
    lookup: (_, options, found) =>
      options.all ? found(null, [{ address: '127.0.0.1', family: 4 }]) : found(null, '127.0.0.1', 4),
  };
  const agent = ca
    ? new https.Agent({ ...options, ca: readFileSync(ca) })
    : new http.Agent(options);
  let number = 0;
  const connect = (path, transports) => {
    const own = `${process.pid}-${number++}`;
    const socket = io(new URL(path, `${url.replace(/\/$/, '')}:${port}/`).href, {
      transports,
      agent,
      forceNew: true,
      reconnection: false,
      query: { own },
      extraHeaders: { 'x-own': 'kept' },
    });
    const once = (event) => new Promise((done, fail) => {
      socket.once(event, (...args) => done(args));
      socket.once('connect_error', (error) => fail(new Error(`${transports}: ${error.message}`)));
    });
    return { own, socket, once, hello: once('hello'), connected: once('connect') };
  };

  const seen = [];
  const cases = [[['polling'], '/'], [['websocket'], '/'], [['polling', 'websocket'], '/'],
    [['polling', 'websocket'], '/admin']];
  for (const [transports, path] of cases) {
    const note = (what, value) => seen.push([transports.join('+'), path, what, value]);
    const { own, socket, once, hello, connected } = connect(path, transports);
    await connected;
    const [transport, said] = await hello;
    note('hello', [transport, said === own]);
    if (transports.length > 1) {
      if (socket.io.engine.transport.name !== 'websocket') {
        await new Promise((done) => socket.io.engine.once('upgrade', done));
      }
    }
    note('transport', socket.io.engine.transport.name);
    const echo = (...args) => socket.timeout(20_000).emitWithAck('echo', ...args);
    note('text', await echo('grüß & <b>\u2028'));
    note('nested', await echo({ a: [1, 2.5, null, { b: 'c' }], empty: '' }));
    for (const size of [0, 1, 65_536, 300_000, 4 << 20]) {
      const sent = Buffer.alloc(size, `octets of ${size}`);
      note(`binary of ${size}`, digest(await echo(sent)));
    }
    const mixed = await echo({ first: Buffer.from([1, 2]), second: [Buffer.from([3])], third: 'text' });
    note('mixed', [mixed.first.toString('hex'), mixed.second[0].toString('hex'), mixed.third]);
    const numbers = [];
    const all = new Promise((done) => socket.on('number', (value, octets) => {
      numbers.push([value, octets.length]);
      if (numbers.length === 200) done();
    }));
    socket.emit('count', 200);
    await all;
    note('in order', numbers.every(([value, length], at) => value === at && length === at));
    socket.on('question', (value, answer) => answer(value + 1));
    note('asked', await socket.timeout(20_000).emitWithAck('ask me'));
    if (path === '/') {
      await socket.timeout(20_000).emitWithAck('join', own);
      const told = once('told');
      const other = connect('/', transports);
      await other.connected;
      other.socket.emit('tell', own, 'from another');
      note('told', await told);
      other.socket.disconnect();
      note('leaving is seen', await socket.timeout(20_000).emitWithAck('who left', other.own));
    }
    const ended = once('disconnect');
    socket.emit('end me');
    note('ended', (await ended)[0]);
  }
  console.log(JSON.stringify(seen));
  process.exit(0);
}
