// Talks to the server. Credentials live in the tab alone (sessionStorage) and go into headers, never into a URL.
import { stored } from './dom.js';

// The page stands at / or at /-/, perhaps below a proxy's prefix.
export const base = location.pathname.replace(/(-\/)?[^/]*$/, '');
export const config = { version: '', rest: '/rest', sql: 'login', listen: 'off', notify: 'off', anonymous: false, databases: [] };
export const auth = Object.assign({ user: '', password: '', token: '', admin: '', database: '' }, stored.get('auth', {}, sessionStorage));

export function keepAuth(values) {
  Object.assign(auth, values);
  stored.set('auth', auth, sessionStorage);
  document.dispatchEvent(new Event('auth'));
}

export class Problem extends Error {
  constructor(fields, status) {
    super(fields.message || 'failed');
    Object.assign(this, fields, { status });
    this.setting = settingFor(this);
  }
}

// The setting that would allow what was refused.
function settingFor(e) {
  if (e.code === 'PGH106') return 'sql-access = login';
  if (e.code === 'PGH404' && /LISTEN|listen/.test(e.message)) return 'listen-access = jwt (or open)';
  if (e.code === 'PGH404' && /NOTIFY|notify/.test(e.message)) return 'notify-access = jwt (or open)';
  if (e.code === 'PGRST302') return 'db-anon-role (requests without a token)';
  if (e.code === 'PGRST300') return 'jwt-secret';
  if (e.code === 'PGRST126') return 'openapi-mode';
  if (e.code === 'PGRST123') return 'db-aggregates-enabled = true';
  return undefined;
}

const prefix = () => base + (auth.database ? 'db/' + encodeURIComponent(auth.database) + '/' : '');
const inner = path => base + '-/' + (auth.database ? 'db/' + encodeURIComponent(auth.database) + '/' : '') + path;
export const restUrl = path => (auth.database ? prefix() + 'rest/' : base.slice(0, -1) + (config.rest === '/' || !config.rest ? '' : config.rest) + '/') + path;

export const basic = () => 'Basic ' + btoa(String.fromCharCode(...new TextEncoder().encode(auth.user + ':' + auth.password)));

// No cookies and no login dialog of the browser's own: what is sent is what this page was given.
export async function request(url, options = {}) {
  let r;
  try {
    r = await fetch(url, { credentials: 'omit', cache: 'no-store', ...options });
  } catch (e) {
    if (e.name === 'AbortError') throw e;
    throw new Problem({ message: 'No answer: the server cannot be reached', hint: 'Is pghttpd running? ' + e.message }, 0);
  }
  if (r.ok) return r;
  const text = await r.text();
  let fields = { message: text.trim() || r.statusText };
  try { fields = JSON.parse(text); } catch { /* not JSON: the text is the message */ }
  throw new Problem(fields, r.status);
}

async function* lines(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (;;) {
    const { value, done } = await reader.read();
    if (done) break;
    const parts = (rest + value).split('\n');
    rest = parts.pop();
    yield parts;
  }
  if (rest) yield [rest];
}

function timings(r) {
  const out = {};
  for (const m of (r.headers.get('server-timing') || '').matchAll(/(\w+);dur=([\d.]+)/g)) out[m[1]] = Number(m[2]);
  return out;
}

const sqlHeaders = () => ({ 'Content-Type': 'application/json', ...(auth.user ? { Authorization: basic() } : {}) });

// One statement; rows come to on.rows(array of arrays of PostgreSQL's texts) as they arrive.
export async function sql(query, { params, signal, limit, readOnly, timeout, on = {} } = {}) {
  const options = new URLSearchParams({ array_mode: true, raw: true, fields: true, ...(limit ? { max_rows: limit } : {}),
    ...(readOnly ? { read_only: true } : {}), ...(timeout ? { timeout } : {}) });
  const r = await request(inner('sql?' + options), {
    method: 'POST', signal, headers: { ...sqlHeaders(), Accept: 'application/x-ndjson' }, body: JSON.stringify({ query, ...(params ? { params } : {}) }),
  });
  const result = { fields: [], rows: [], timing: timings(r) };
  for await (const part of lines(r.body)) {
    const rows = [];
    for (const line of part) {
      if (!line) continue;
      const value = JSON.parse(line);
      if (Array.isArray(value)) rows.push(value);
      else if (value.error) throw new Problem(value.error, 400);
      else if (value.fields) on.fields?.(result.fields = value.fields);
      else Object.assign(result, value);
    }
    if (rows.length && on.rows) on.rows(rows);
    else result.rows.push(...rows);
  }
  if (!('command' in result)) throw new Problem({ message: 'The answer was broken off before its end' }, 0);
  return result;
}

// Several statements as one transaction.
export async function transaction(queries, { signal, limit } = {}) {
  const options = new URLSearchParams({ array_mode: true, raw: true, ...(limit ? { max_rows: limit } : {}) });
  const r = await request(inner('sql?' + options), { method: 'POST', signal, headers: sqlHeaders(), body: JSON.stringify({ queries }) });
  return { ...await r.json(), timing: timings(r) };
}

export const rows = async (query, params) => (await sql(query, { params, timeout: '15s' })).rows;

export const bearer = () => auth.token ? { Authorization: 'Bearer ' + auth.token } : {};

export function rest(path, { method = 'GET', headers = {}, body, signal } = {}) {
  return request(restUrl(path), { method, signal, body, headers: { ...bearer(), ...(body === undefined ? {} : { 'Content-Type': 'application/json' }), ...headers } });
}

export const operator = path => request(base + '-/console/' + path, { headers: auth.admin ? { Authorization: 'Bearer ' + auth.admin } : {} });

export const notify = (channel, payload) => request(inner('notify/' + encodeURIComponent(channel)), { method: 'POST', headers: bearer(), body: payload });

// An event stream that reconnects as an EventSource does, but can send a token and says why it was refused.
// on.state(text), on.event({type, id, data}); returns a function that ends it.
export function stream(path, on) {
  const abort = new AbortController();
  let last = '', wait = 1000;
  (async () => {
    while (!abort.signal.aborted) {
      try {
        on.state('connecting');
        const r = await request(inner(path), {
          signal: abort.signal, headers: { Accept: 'text/event-stream', ...bearer(), ...(last ? { 'Last-Event-ID': last } : {}) },
        });
        on.state('open');
        let event = { type: 'message', data: [] };
        for await (const part of lines(r.body))
          for (const raw of part) {
            const line = raw.endsWith('\r') ? raw.slice(0, -1) : raw;
            const [, key, value] = /^([^:]*):? ?(.*)$/s.exec(line);
            if (line === '') {
              if (event.data.length) on.event({ ...event, data: event.data.join('\n') });
              event = { type: 'message', data: [] };
            } else if (key === 'data') event.data.push(value);
            else if (key === 'event') event.type = value;
            else if (key === 'id') event.id = last = value;
            else if (key === 'retry' && Number(value)) wait = Number(value);
          }
        on.state('lost', { message: 'the stream ended' });
      } catch (e) {
        if (abort.signal.aborted) return;
        if (e.status >= 400 && e.status !== 429 && e.status < 500) return on.state('refused', e);
        on.state('lost', e);
      }
      await new Promise(resolve => setTimeout(resolve, Math.min(wait, 5000)));
    }
  })();
  return () => abort.abort();
}
