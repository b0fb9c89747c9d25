import { SETTINGS, upstreamSetting } from './dialect.ts';
import { strings, text } from './frames.ts';

/** What a client sends before anything else. */
export type Opening =
  /** SSLRequest or GSSENCRequest: answered with `N`, then the client opens again. */
  | { readonly kind: 'encryption' }
  | { readonly kind: 'cancel'; readonly packet: Buffer }
  | { readonly kind: 'startup'; readonly parameters: ReadonlyMap<string, string> };

const CANCEL_REQUEST = 80_877_102;
const ENCRYPTION_REQUESTS = [80_877_103, 80_877_104];
const PROTOCOL_3 = 196_608;

/** Reads a packet without type byte: length, code, body. */
export function parseOpening(packet: Buffer): Opening {
  const code = packet.readInt32BE(4);
  if (ENCRYPTION_REQUESTS.includes(code)) return { kind: 'encryption' };
  if (code === CANCEL_REQUEST) return { kind: 'cancel', packet };
  const parameters = new Map<string, string>();
  const found = strings(packet.subarray(8));
  for (let index = 0; index + 1 < found.length; index += 2) {
    parameters.set(found[index] ?? '', found[index + 1] ?? '');
  }
  return { kind: 'startup', parameters };
}

export function startupPacket(parameters: ReadonlyMap<string, string>): Buffer {
  const body = [...parameters].flatMap(([name, value]) => [text(name), text(value)]);
  const packet = Buffer.concat([Buffer.alloc(8), ...body, Buffer.alloc(1)]);
  packet.writeInt32BE(packet.length, 0);
  packet.writeInt32BE(PROTOCOL_3, 4);
  return packet;
}

/** Replaces YugabyteDB's settings in the parameters by the upstream's names, and adds defaults that `SHOW` and `RESET` find. */
export function translateParameters(parameters: ReadonlyMap<string, string>): ReadonlyMap<string, string> {
  const translated = new Map<string, string>();
  for (const [name, value] of parameters) {
    translated.set(name in SETTINGS ? upstreamSetting(name) : name, value);
  }
  const defaults = Object.entries(SETTINGS).map(([name, value]) => `-c ${upstreamSetting(name)}=${value}`);
  const own = (parameters.get('options') ?? '').replace(/(-c\s*|--)yb_(\w+)=/g, '$1yb.$2=');
  return translated.set('options', [...defaults, own].join(' ').trim());
}

/** Returns the `yb_read_time` with which a client starts. */
export function initialReadTime(parameters: ReadonlyMap<string, string>): string | undefined {
  const option = /(?:-c\s*|--)yb_read_time=(\S+)/.exec(parameters.get('options') ?? '');
  return parameters.get('yb_read_time') ?? option?.[1]?.replaceAll('\\', '');
}

/** Returns the client's database; without one, PostgreSQL takes the user's name. */
export function databaseOf(parameters: ReadonlyMap<string, string>): string {
  return parameters.get('database') ?? parameters.get('user') ?? '';
}
