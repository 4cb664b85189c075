"""The databases of a run: PostgreSQL nodes (a primary; a standby in the variants sync and failover) and pgbouncer.

Node.sql() goes over the unix socket as superuser, past every proxy. Everything runs as user postgres when we are root.
"""

import asyncio
import contextlib
import os
import pathlib
import pwd
import random
import shutil
import signal
import socket
import subprocess
import time

PASSWORD = "chaos-secret"
LOGINS = ("authenticator", "app1", "app2")


class Trouble(Exception):
    """The harness could not do what it wanted."""


def free_port():
    while True:
        port = random.SystemRandom().randrange(20000, 30000)
        with socket.socket() as s, contextlib.suppress(OSError):
            s.bind(("127.0.0.1", port))
            return port


def pg_bin():
    found = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: float(p.parts[-3]))
    return found[-1].parent


def user():
    """Whom to be: never root."""
    if os.getuid():
        return {}
    entry = pwd.getpwnam("postgres")
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def own(path):
    if not os.getuid():
        shutil.chown(path, "postgres", "postgres")


def run(*args, timeout=60, **more):
    done = subprocess.run([str(a) for a in args], capture_output=True, text=True, timeout=timeout, **user(), **more)
    if done.returncode:
        raise Trouble(f"{args[0]}: {done.stderr[-600:]}")
    return done.stdout


def alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


async def until(seconds, condition, what):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise Trouble(f"{what}: not within {seconds} s")
        await asyncio.sleep(0.02)


class Daemon:
    """A process of ours, in a session of its own."""

    as_ourselves = False  # else as user()

    def __init__(self, log):
        self.log, self.process = log, None

    def launch(self, *args):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [str(a) for a in args], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd="/",
                **({} if self.as_ourselves else user()),
            )  # fmt: skip

    @property
    def running(self):
        return bool(self.process) and self.process.poll() is None

    def signal(self, number):
        if self.running:
            self.process.send_signal(number)

    async def end(self, number, limit=20):
        self.signal(number)
        try:
            await until(limit, lambda: not self.running, f"end of {self.log}")
        except Trouble:
            self.signal(signal.SIGKILL)
            await until(5, lambda: not self.running, f"end of {self.log}")


class Node(Daemon):
    """One PostgreSQL. Its port is fixed for its life; a standby is made anew by clone()."""

    def __init__(self, folder, name):
        super().__init__(folder / f"{name}.log")
        self.name, self.folder, self.data, self.port, self.bin = name, folder, folder / name, free_port(), pg_bin()

    def init(self):
        password = self.folder / "password"
        password.write_text(PASSWORD)
        own(password)
        run(self.bin / "initdb", "-D", self.data, "-U", "postgres", "-N", "-E", "UTF8", "--no-locale",
            f"--pwfile={password}", "--auth=scram-sha-256", cwd=self.folder)  # fmt: skip
        (self.data / "pg_hba.conf").write_text(
            "local all postgres,filler trust\nlocal replication postgres trust\nhost all all 127.0.0.1/32 scram-sha-256\n"
        )
        with open(self.data / "postgresql.conf", "a") as conf:
            conf.write(
                "listen_addresses = '127.0.0.1'\nfsync = off\nfull_page_writes = off\nmax_connections = 60\n"
                "wal_sender_timeout = 5s\nwal_retrieve_retry_interval = 500ms\nwal_level = replica\nmax_wal_senders = 5\nwal_keep_size = 512MB\n"
                "shared_buffers = 64MB\nlog_min_messages = fatal\ntimezone = 'UTC'\nrestart_after_crash = on\n"
            )

    async def start(self):
        if self.running:
            return
        self.launch(self.bin / "postgres", "-D", self.data, "-p", self.port, "-k", self.folder)
        await until(30, self.answers, f"start of {self.name}")

    def answers(self):
        if not self.running:
            raise Trouble(f"{self.name} ended: {self.log.read_text(errors='replace')[-800:]}")
        return not subprocess.run([self.bin / "pg_isready", "-q", "-t", "1", "-h", self.folder, "-p", str(self.port)]).returncode

    def psql(self, text, *more):
        return [self.bin / "psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-h", self.folder, "-p", str(self.port), "-U", "postgres",
                *more, "-d", "postgres", "-c", text]  # fmt: skip

    async def sql(self, text, limit=30):
        p = await asyncio.create_subprocess_exec(
            *map(str, self.psql(text)), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        try:
            async with asyncio.timeout(limit):
                out, err = await p.communicate()
        except TimeoutError:
            p.kill()
            await p.wait()
            raise Trouble(f"psql: over {limit} s: {text[:200]}") from None
        if p.returncode:
            raise Trouble(f"psql: {err.decode()[-500:]}: {text[:200]}")
        return out.decode().strip()

    async def script(self, path):
        await asyncio.to_thread(run, *self.psql("select 1", "-f", path)[:-2], cwd="/")

    async def clone(self, primary):
        """This node becomes a standby of `primary`, from nothing."""
        shutil.rmtree(self.data, ignore_errors=True)
        uri = f"host={primary.folder} port={primary.port} user=postgres application_name={self.name}"
        await asyncio.to_thread(
            run, self.bin / "pg_basebackup", "-D", self.data, "-R", "-X", "stream", "-c", "fast", "-d", uri, cwd=self.folder
        )
        await self.start()

    def backends(self):
        """Processes of the node."""
        pid = self.process.pid
        with contextlib.suppress(FileNotFoundError):
            return [int(p) for p in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        return []


class Bouncer(Daemon):
    def __init__(self, folder, target):
        super().__init__(folder / "bouncer.log")
        self.folder, self.port, self.target = folder, free_port(), target

    def write(self):
        users = self.folder / "users.txt"
        users.write_text("".join(f'"{u}" "{PASSWORD}"\n' for u in LOGINS))
        ini = self.folder / "bouncer.ini"
        ini.write_text(
            f"[databases]\n* = host=127.0.0.1 port={self.target}\n[pgbouncer]\nlisten_addr=127.0.0.1\nlisten_port={self.port}\n"
            f"auth_type=scram-sha-256\nauth_file={users}\npool_mode=transaction\nunix_socket_dir=\nserver_tls_sslmode=disable\n"
            "server_login_retry=1\nserver_connect_timeout=3\nignore_startup_parameters=extra_float_digits,options\n"
            "max_client_conn=200\ndefault_pool_size=8\nquery_wait_timeout=10\n"
        )
        own(users)
        own(ini)

    async def start(self):
        path = shutil.which("pgbouncer", path=os.environ["PATH"] + ":/usr/sbin")
        self.launch(path, self.folder / "bouncer.ini")
        await until(10, self.answers, "start of pgbouncer")

    def answers(self):
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", self.port)) == 0
