// Event streams as one would write them in Node.js: one LISTEN connection, each event made once and written to all who
// listen to its channel; who does not read is cut off.
'use strict'
const { Client, escapeIdentifier } = require('pg')
const UNREAD_MAX = 1 << 20
const HEARTBEAT_MS = 15000

module.exports = async (fastify, { connectionString }) => {
  const channels = new Map() // name -> { listening, streams }
  const db = new Client({ connectionString })
  await db.connect()

  function send (streams, bytes) {
    for (const stream of streams) {
      if (stream.writableLength > UNREAD_MAX) stream.destroy()
      else stream.write(bytes)
    }
  }
  db.on('notification', ({ channel, payload }) => {
    const found = channels.get(channel)
    if (found) send(found.streams, Buffer.from(`data: ${JSON.stringify({ channel, payload })}\n\n`))
  })
  setInterval(() => {
    for (const { streams } of channels.values()) send(streams, Buffer.from(': heartbeat\n\n'))
  }, HEARTBEAT_MS)

  function join (name) {
    let channel = channels.get(name)
    if (!channel) {
      channel = { listening: db.query(`listen ${escapeIdentifier(name)}`), streams: new Set() }
      channels.set(name, channel)
    }
    return channel
  }
  fastify.get('/listen/:channel', async (request, reply) => {
    const channel = join(request.params.channel)
    await channel.listening
    reply.hijack()
    const stream = reply.raw
    if (stream.destroyed) return
    stream.on('close', () => channel.streams.delete(stream))
    stream.removeHeader('transfer-encoding') // no chunks, the stream ends with its connection: a quarter of the CPU in bursts
    stream.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store', connection: 'close' })
    stream.write(': ok\n\n')
    channel.streams.add(stream)
  })
}
