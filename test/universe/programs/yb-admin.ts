/**
 * The simulated `yb-admin`. As the real one it asks the leading master (here by HTTP on the RPC port), writes what it exports where it runs,
 * prints results on stdout and errors on stderr, and ends with 0 or 1.
 */
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';

const VALUE_FLAGS = new Set([
  'master_addresses',
  'init_master_addrs',
  'timeout_ms',
  'certs_dir_name',
  'client_node_name',
  'flagfile',
]);
const SWITCHES = new Set(['exclude_dead', 'never_fsync', 'version', 'help']);

interface Answer {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  readonly writes: readonly { readonly path: string; readonly content: string }[];
  readonly killed?: boolean;
}

const flags = new Map<string, string>();
const words: string[] = [];
const argv = process.argv.slice(2);
for (let at = 0; at < argv.length; at += 1) {
  const word = argv[at] ?? '';
  const [, name, value] = /^--?([a-z_]+)(?:=(.*))?$/s.exec(word) ?? [];
  // Flags may stand anywhere, also after the operation.
  if (name === undefined) words.push(word);
  else if (SWITCHES.has(name)) flags.set(name, value ?? 'true');
  else if (VALUE_FLAGS.has(name)) {
    flags.set(name, value ?? argv[at + 1] ?? '');
    if (value === undefined) at += 1;
  } else fail(`ERROR: unknown command line flag '${name}'\n`);
}

if (flags.has('version')) {
  process.stdout.write(
    `version ${process.env.HOLDFAST_SIMULATED_VERSION} revision simulated build_type RELEASE\n`,
  );
  process.exit(0);
}
const [operation, ...args] = words;
if (operation === undefined) {
  process.stdout.write('yb-admin [-master_addresses server1:port,server2:port,...] <operation>\n');
  process.exit(flags.has('help') ? 0 : 1);
}

const masters = (flags.get('init_master_addrs') ?? flags.get('master_addresses') ?? 'localhost:7100').split(
  ',',
);
const files: Record<string, string> = {};
if (operation.startsWith('import_snapshot')) {
  const [file = ''] = args;
  if (existsSync(file) && statSync(file).isFile()) files[file] = readFileSync(file).toString('base64');
}
const body = JSON.stringify({
  operation,
  args,
  timezone: process.env.TZ || 'UTC',
  excludeDead: flags.get('exclude_dead') === 'true',
  certificates: (flags.get('certs_dir_name') ?? '') !== '',
  files,
});

let answer: Answer | undefined;
for (const master of masters) {
  const got = await ask(master);
  if (got === 'lost')
    fail(
      `Error running ${operation}: Network error (yb/util/net/socket.cc:551): recvmsg got EOF from ${master} (system error 108)\n`,
    );
  if (got !== undefined) {
    answer = got;
    break;
  }
}
if (answer === undefined) {
  fail(
    `Unable to establish connection to leader master at [${masters.join(',')}]. Please verify the addresses and check if server is up, or if you're missing --certs_dir_name.\n\n` +
      'Timed out (yb/rpc/outbound_call.cc:500): Could not locate the leader master: GetLeaderMasterRpc timed out\n',
  );
}
if (answer.killed === true) process.kill(process.pid, 'SIGKILL');
for (const { path, content } of answer.writes) writeFileSync(path, Buffer.from(content, 'base64'));
process.stdout.write(answer.stdout);
process.stderr.write(answer.stderr);
process.exitCode = answer.code;

/**
 * Undefined: nobody there, or not the leader. `lost`: it took the call, and its answer didn't come. Speaks HTTP/1.0 by itself, since loading
 * `node:http` takes twice as long as all the rest of a call, of which the tests make thousands.
 */
function ask(master: string): Promise<Answer | 'lost' | undefined> {
  const at = master.lastIndexOf(':');
  const [host, port] = at < 0 ? [master, '7100'] : [master.slice(0, at), master.slice(at + 1)];
  return new Promise((resolve) => {
    let sent = false;
    const parts: Buffer[] = [];
    const socket = connect({ host, port: Number(port) }, () => {
      sent = true;
      const head = `POST /rpc HTTP/1.0\r\nHost: ${master}\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n`;
      socket.write(head + body);
    });
    socket.on('data', (part: Buffer) => parts.push(part));
    socket.on('error', () => resolve(sent ? 'lost' : undefined));
    socket.on('end', () => {
      const { status, text } = parseResponse(Buffer.concat(parts));
      if (status === 200) resolve(JSON.parse(text) as Answer);
      else if (status === 500) fail(`Error running ${operation}: Internal error (simulator): ${text}\n`);
      else resolve(status === undefined ? 'lost' : undefined);
    });
  });
}

/** The status is undefined where the connection ended before the whole response had come. */
function parseResponse(response: Buffer): { readonly status: number | undefined; readonly text: string } {
  const headEnd = response.indexOf('\r\n\r\n');
  const head = response.subarray(0, Math.max(headEnd, 0)).toString('latin1');
  const status = /^HTTP\/1\.1 (\d{3}) /.exec(head)?.[1];
  const body = response.subarray(headEnd + 4);
  const length = /^content-length: (\d+)\r?$/im.exec(head)?.[1];
  const whole = status !== undefined && (length === undefined || body.length === Number(length));
  return { status: whole ? Number(status) : undefined, text: body.toString('utf8') };
}

function fail(text: string): never {
  process.stderr.write(text);
  process.exit(1);
}
