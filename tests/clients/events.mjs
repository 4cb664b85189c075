// EventSource as people use it, in npm's `eventsource` and in headless Chromium: node events.mjs npm|chromium
// SERVER_URL has listen-access and notify-access open; JWT_URL has jwt, with TOKEN (which expires soon) in the URL.
// Between the client and the server stands a proxy that can cut connections off.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import http from 'node:http'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const server = new URL(process.env.SERVER_URL)
const kind = process.argv[2]
const seen = { json: [], raw: [], token: [] }
const waiting = []
const deadline = Date.now() + 60000

function report(stream, what) {
  seen[stream].push(what)
  waiting.splice(0).forEach((wake) => wake())
}

async function until(what, condition) {
  while (!condition()) {
    const left = deadline - Date.now()
    assert(left > 0, `${what} did not come: ${JSON.stringify(seen).slice(-1500)}`)
    await Promise.race([
      new Promise((wake) => waiting.push(wake)),
      new Promise((wake) => setTimeout(wake, Math.min(left, 1000))),
    ])
  }
}

const count = (stream, type) => seen[stream].filter((e) => e.type === type).length
const messages = (stream, type = 'message') => seen[stream].filter((e) => e.type === type)

// Runs in the page as well, so it uses nothing from outside.
function watch(EventSource, proxy, tokenUrl, report) {
  const follow = (name, url, types) => {
    const es = new EventSource(url)
    es.onopen = () => report(name, { type: 'open' })
    es.onerror = () => report(name, { type: 'error', state: es.readyState })
    for (const type of types)
      es.addEventListener(type, (e) => report(name, { type, data: e.data, id: e.lastEventId, origin: e.origin }))
  }
  follow('json', proxy + '/listen?channel=web&channel=w%C3%BCb', ['message', 'gap', 'overflow'])
  follow('raw', proxy + '/listen/web?format=raw', ['web', 'message', 'gap'])
  follow('token', tokenUrl, ['message', 'expired'])
}

// ---- the proxy ----

const pairs = new Set()
let refusing = false
const proxy = net.createServer((client) => {
  if (refusing) return client.destroy()
  const upstream = net.connect(server.port, server.hostname)
  const pair = { client, upstream }
  pairs.add(pair)
  for (const [a, b] of [[client, upstream], [upstream, client]]) {
    a.on('data', (d) => b.write(d))
    a.on('error', () => b.destroy())
    a.on('close', () => (b.destroy(), pairs.delete(pair)))
  }
})
const cut = () => pairs.forEach(({ client }) => client.resetAndDestroy())

// ---- what is sent ----

async function notify(channel, payload) {
  const r = await fetch(`${server.origin}/notify/${encodeURIComponent(channel)}`, { method: 'POST', body: payload })
  assert.equal(r.status, 204, await r.text())
}

const payloads = [
  'plain', '', ' two  spaces ', 'grün 日本語 😀', 'line\nline', '\n', 'a\r\nb\rc', 'data: x\n\nevent: forged\ndata: y\n\n', 'id: 1',
  '"quoted" \\ </script>', '{"json":true}', '\u2028\u2029\ufeff', 'x'.repeat(7999), 'é'.repeat(3999), '\u0001\t\u007f',
] // prettier-ignore
const lines = (s) => s.replaceAll('\r\n', '\n').replaceAll('\r', '\n')

async function scenario() {
  await until('the streams open', () => ['json', 'raw', 'token'].every((s) => count(s, 'open') === 1))
  for (const p of payloads) await notify('web', p)
  await notify('wüb', 'other channel')
  await until('all payloads', () => messages('json').length === payloads.length + 1)
  await until('all raw payloads', () => messages('raw', 'web').length === payloads.length)
  const got = messages('json').map((e) => JSON.parse(e.data))
  assert.deepEqual(got.map((e) => e.payload), [...payloads, 'other channel'])
  assert.deepEqual(got.map((e) => e.channel), [...payloads.map(() => 'web'), 'wüb'])
  assert.deepEqual(messages('raw', 'web').map((e) => e.data), payloads.map(lines))

  // cut off; what comes meanwhile is there after the reconnection, once, and nothing twice
  refusing = true
  cut()
  await until('the cut', () => count('json', 'error') === 1 && count('raw', 'error') === 1)
  for (let i = 0; i < 20; i++) await notify('web', `meanwhile ${i}`)
  refusing = false
  await until('the reconnection', () => count('json', 'open') >= 2 && count('raw', 'open') >= 2)
  await notify('web', 'after')
  await until('the rest', () => messages('json').length === payloads.length + 22)
  await until('the raw rest', () => messages('raw', 'web').length === payloads.length + 21)
  const rest = [...Array(20).keys()].map((i) => `meanwhile ${i}`).concat('after')
  assert.deepEqual(messages('json').slice(payloads.length + 1).map((e) => JSON.parse(e.data).payload), rest)
  assert.deepEqual(messages('raw', 'web').slice(payloads.length).map((e) => e.data), rest)
  assert.equal(new Set(messages('json').map((e) => e.id)).size, payloads.length + 22)
  assert.equal(count('json', 'gap') + count('raw', 'gap') + count('json', 'overflow') + count('raw', 'message'), 0)

  // the token's end: the event, a reconnection with 401, and then the client stays away
  await until('the end of the token', () => messages('token', 'expired').length === 1)
  assert.equal(messages('token', 'expired')[0].data, '{}')
  await until('the client gives up', () => seen.token.some((e) => e.type === 'error' && e.state === 2))
  assert.equal(count('token', 'open'), 1)
}

// ---- the two clients ----

async function npm() {
  const { EventSource } = await import('eventsource')
  watch(EventSource, origin, process.env.TOKEN_URL, report)
  await scenario()
}

async function chromium() {
  const page = http.createServer((req, res) => {
    if (req.method === 'POST') {
      let body = ''
      req.on('data', (d) => (body += d))
      req.on('end', () => (JSON.parse(body).forEach(([s, e]) => report(s, e)), res.end()))
      return
    }
    res.setHeader('Content-Type', 'text/html; charset=utf-8')
    res.end(`<!doctype html><title>events</title><script>
      const queue = []
      let busy = false
      async function flush() {  // in order, one request at a time
        if (busy) return
        for (busy = true; queue.length; ) await fetch('/', { method: 'POST', body: JSON.stringify(queue.splice(0)) })
        busy = false
      }
      const report = (s, e) => (queue.push([s, e]), flush())
      ;(${watch})(EventSource, ${JSON.stringify(origin)}, ${JSON.stringify(process.env.TOKEN_URL)}, report)
    </script>`)
  })
  await new Promise((done) => page.listen(0, '127.0.0.1', done))
  const dir = mkdtempSync(join(tmpdir(), 'pghttpd-chromium-'))
  const browser = spawn(
    process.env.CHROMIUM || 'chromium',
    ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync', '--disable-dev-shm-usage', '--no-proxy-server', '--remote-debugging-port=0',
      `--user-data-dir=${dir}`, `http://127.0.0.1:${page.address().port}/`],
    { stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, HOME: dir } },
  ) // prettier-ignore
  let words = ''
  browser.stderr.on('data', (d) => (words += d))
  try {
    await scenario()
  } catch (e) {
    e.message += `\nchromium said: ${words.slice(-1500)}`
    throw e
  } finally {
    browser.kill()
    await new Promise((done) => browser.once('exit', done))
    page.closeAllConnections()
    page.close()
    rmSync(dir, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 })
  }
}

await new Promise((done) => proxy.listen(0, '127.0.0.1', done))
const origin = `http://127.0.0.1:${proxy.address().port}`
try {
  await (kind === 'chromium' ? chromium() : npm())
} catch (e) {
  console.error(e)
  process.exit(1)
}
console.log(`${kind}: ${messages('json').length} events, ${count('json', 'open')} connections`)
process.exit(0)
