// The console: tabs, signing in, light and dark. Each tab is a module with start() and show().
import { auth, base, config, keepAuth, request } from './api.js';
import * as browse from './browse.js';
import { $, dialog, h, status, stored } from './dom.js';
import * as events from './events.js';
import * as server from './server.js';
import * as sql from './sql.js';

const tabs = { sql, browse, events, server };
const buttons = [...document.querySelectorAll('[role=tab]')];

// The open tab is in the address (#browse/products), with the arrow keys as the ARIA pattern has it.
function open(name, focus) {
  if (!tabs[name]) name = 'sql';
  for (const b of buttons) {
    const chosen = b.id === 'tab-' + name;
    b.setAttribute('aria-selected', chosen);
    b.tabIndex = chosen ? 0 : -1;
    $(b.getAttribute('aria-controls')).hidden = !chosen;
    if (chosen && focus) b.focus();
  }
  // back to the table that was open
  if (location.hash.slice(1).split('/')[0] !== name) location.hash = tabs[name].place?.() || name;
  document.title = buttons.find(b => b.id === 'tab-' + name).textContent + ' – pghttpd';
  status('');
  tabs[name].show();
}

function tabKeys() {
  buttons.forEach((b, i) => {
    b.onclick = () => open(b.id.slice(4));
    b.onkeydown = e => {
      const to = { ArrowRight: i + 1, ArrowLeft: i - 1, Home: 0, End: buttons.length - 1 }[e.key];
      if (to !== undefined) open(buttons.at(to % buttons.length).id.slice(4), true);
    };
  });
  addEventListener('hashchange', () => open(location.hash.slice(1).split('/')[0]));
  // Alt+1 ... Alt+4
  addEventListener('keydown', e => {
    if (e.altKey && !e.ctrlKey && buttons[e.key - 1]) {
      e.preventDefault();
      open(buttons[e.key - 1].id.slice(4), true);
    }
  });
}

export function claims(token) {
  try {
    return JSON.parse(new TextDecoder().decode(Uint8Array.from(atob(token.split('.')[1].replace(/-/g, '+').replace(/_/g, '/')), c => c.charCodeAt(0))));
  } catch { return null; }
}

function who() {
  const token = auth.token && claims(auth.token);
  const parts = [auth.user, token && 'token' + (token.role ? ': ' + token.role : ''), auth.admin && 'operator'].filter(Boolean);
  $('sign-in').textContent = parts.join(' · ') || 'Sign in';
  $('sign-in').classList.toggle('signed', parts.length > 0);
}

async function signIn(reason) {
  const field = (label, about, input) => h('div', { class: 'field' }, h('label', { for: input.id }, label), input, h('p', { class: 'soft' }, about));
  const user = h('input', { id: 'user', autocomplete: 'username', value: auth.user, spellcheck: 'false', autocapitalize: 'off' });
  const password = h('input', { id: 'password', type: 'password', autocomplete: 'current-password', value: auth.password });
  const token = h('textarea', { id: 'token', rows: '3', spellcheck: 'false', autocomplete: 'off', value: auth.token });
  const admin = h('input', { id: 'admin', type: 'password', autocomplete: 'off', value: auth.admin });
  const answer = dialog('Sign in', [
    h('p', { class: 'soft' }, 'Kept in this tab alone, and forgotten with it.'),
    h('fieldset', null, h('legend', null, 'PostgreSQL login'), h('p', { class: 'soft' }, { off: 'SQL is switched off here (sql-access = off).', login: 'For SQL. You work with the rights of this login.', open: 'Not needed here: sql-access is open.' }[config.sql]),
      h('div', { class: 'fields' }, h('div', null, h('label', { for: 'user' }, 'User'), user), h('div', null, h('label', { for: 'password' }, 'Password'), password))),
    field('Token (JWT)', 'For Browse and Events. Its role is yours.', token),
    field('Admin token', 'For Server: the value of admin-token.', admin),
  ], [['out', 'Sign out'], ['close', 'Cancel'], ['in', 'Sign in', 'main']]);
  ({ user, token, admin }[reason] || user).focus();
  const done = await answer;
  if (done === 'in') keepAuth({ user: user.value, password: password.value, token: token.value.trim(), admin: admin.value });
  if (done === 'out') keepAuth({ user: '', password: '', token: '', admin: '' });
  if (done === 'in' || done === 'out') {
    who();
    status(done === 'in' ? 'Signed in.' : 'Signed out.');
    open(location.hash.slice(1).split('/')[0]);
  }
}

function theme() {
  const themes = ['auto', 'light', 'dark'];
  const set = name => {
    document.documentElement.dataset.theme = name;
    $('theme').textContent = { auto: 'Auto', light: 'Light', dark: 'Dark' }[name];
    $('theme').setAttribute('aria-label', 'Colours: ' + name);
  };
  set(stored.get('theme', 'auto'));
  $('theme').onclick = () => {
    const next = themes[(themes.indexOf(document.documentElement.dataset.theme) + 1) % 3];
    stored.set('theme', next);
    set(next);
  };
}

function databases() {
  if (config.databases.length < 2) return;
  const choice = $('database');
  choice.replaceChildren(...config.databases.map(d => h('option', { value: d.name }, d.name || 'main database')));
  choice.value = auth.database;
  choice.hidden = false;
  choice.onchange = () => {
    keepAuth({ database: choice.value });
    open(location.hash.slice(1).split('/')[0]);
  };
}

theme();
try {
  Object.assign(config, await (await request(base + '-/console/config.json')).json());
} catch (e) {
  status('The server does not say what it allows: ' + e.message);
}
who();
databases();
$('sign-in').onclick = () => signIn();
let asking = false;
document.addEventListener('sign-in', async e => {
  if (asking || document.querySelector('dialog')) return;
  asking = true;
  await signIn(e.detail);
  asking = false;
});
for (const b of document.querySelectorAll('[data-sign-in]')) b.onclick = () => signIn(b.dataset.signIn);
for (const tab of Object.values(tabs)) tab.start();
tabKeys();
open(location.hash.slice(1).split('/')[0] || 'sql');
document.documentElement.dataset.state = 'started';
