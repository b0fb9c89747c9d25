import { quoted, type Reading, refused } from './diagnostic.ts';

/** Names of plans, repositories and steps: safe in an object key, a workflow id and a shell word. */
export const NAME_PATTERN = '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$';

export const ENVIRONMENT_NAME_PATTERN = '^[A-Za-z_][A-Za-z0-9_]*$';

const BUCKET_PATTERN = /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/;

/** Reads the name of a plan, a repository or a step. */
export function readName(text: string): Reading<string> {
  if (new RegExp(NAME_PATTERN).test(text)) return { value: text };
  const fitting = text
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .slice(0, 63)
    .replace(/^-+|-+$/g, '');
  return refused(
    'BAD_NAME',
    `${quoted(text)} is not a name: names have 1 to 63 lower-case letters, digits and hyphens`,
    fitting === '' ? 'Write a name such as `orders-nightly`.' : `Write \`${fitting}\`.`,
  );
}

export const HOST_AND_PORT_PATTERN = '^(\\[[0-9A-Fa-f:.]+\\]|[A-Za-z0-9._-]+):[0-9]{1,5}$';

/** Reads `host:port`. */
export function readHostAndPort(text: string): Reading<string> {
  const port = Number(text.slice(text.lastIndexOf(':') + 1));
  if (new RegExp(HOST_AND_PORT_PATTERN).test(text) && port >= 1 && port <= 65_535) return { value: text };
  const host = /^[A-Za-z0-9._-]+$/.test(text);
  return refused(
    'BAD_NAME',
    `${quoted(text)} is not an address with a port`,
    host ? `Write \`${text}:7100\`.` : 'Write `host:port`, such as `10.0.0.1:7100`.',
  );
}

/** Reads the name of a database or keyspace that is handed to yb-admin. */
export function readUniverseName(text: string): Reading<string> {
  if (/^[^\u0000-\u001f-][^\u0000-\u001f]{0,62}$/.test(text)) return { value: text };
  return refused(
    'BAD_NAME',
    `${quoted(text)} can't be the name of a database or keyspace here`,
    text.startsWith('-')
      ? 'yb-admin takes a leading `-` for an option: rename it.'
      : 'Write its name, of 1 to 63 characters.',
  );
}

/** Reads the name of an environment variable. */
export function readEnvironmentName(text: string): Reading<string> {
  if (new RegExp(ENVIRONMENT_NAME_PATTERN).test(text)) return { value: text };
  const remedy = /^\$\{?([A-Za-z_][A-Za-z0-9_]*)\}?$/.exec(text)?.[1];
  return refused(
    'BAD_NAME',
    `${quoted(text)} is not the name of an environment variable`,
    remedy === undefined
      ? 'Write the name only, such as `ORDERS_DATABASE_URL`: letters, digits and underscores.'
      : `Write the name only: \`${remedy}\`.`,
  );
}

/** Reads the name of a bucket, by S3's rules for new buckets. Those of Google Cloud Storage are the same but for underscores. */
export function readBucket(text: string): Reading<string> {
  const scheme = /^(s3|gs):\/\//.exec(text)?.[0];
  if (scheme !== undefined) {
    const [bucket = '', ...prefix] = text.slice(scheme.length).split('/');
    const rest = prefix.filter((part) => part !== '').join('/');
    return refused(
      'BAD_NAME',
      `${quoted(text)} is a URL, and the name of a bucket is needed`,
      rest === '' ? `Write \`bucket: ${bucket}\`.` : `Write \`bucket: ${bucket}\` and \`prefix: ${rest}\`.`,
    );
  }
  const isAddress = /^[0-9]+(\.[0-9]+){3}$/.test(text);
  if (BUCKET_PATTERN.test(text) && !text.includes('..') && !isAddress) return { value: text };
  return refused(
    'BAD_NAME',
    `${quoted(text)} is not the name of a bucket`,
    'Bucket names have 3 to 63 lower-case letters, digits, dots and hyphens, and begin and end with a letter or digit.',
  );
}

/** Reads the prefix of a repository's object keys: `backups/yugabyte`, without slashes at its ends. */
export function readPrefix(text: string): Reading<string> {
  const parts = text.split('/');
  const strange = parts.some((part) => part === '' || part === '.' || part === '..');
  if (!strange && /^[A-Za-z0-9!_.*'()/=-]{1,512}$/.test(text)) return { value: text };
  const fitting = parts.filter((part) => !['', '.', '..'].includes(part)).join('/');
  return refused(
    'BAD_PATH',
    `${quoted(text)} is not a prefix of object keys`,
    strange && fitting !== ''
      ? `Write \`${fitting}\`, without slashes at its ends and without \`.\` and \`..\`.`
      : 'Write letters, digits, hyphens and underscores, with single slashes between; or leave it out.',
  );
}

/** Reads an absolute path. A relative path would mean a different place on every worker. */
export function readAbsolutePath(text: string): Reading<string> {
  const parts = text.split('/').slice(1);
  const strange = parts.some((part) => part === '.' || part === '..') || /[\u0000-\u001f]/.test(text);
  if (text.startsWith('/') && !strange && text.length <= 4096) return { value: text };
  return refused(
    'BAD_PATH',
    text.startsWith('/')
      ? `${quoted(text)} is not a plain absolute path`
      : `${quoted(text)} is not an absolute path, so every worker would look for it elsewhere`,
    'Write the whole path from `/`, without `.` and `..`.',
  );
}

/** Reads an `http` or `https` URL without user and password. */
export function readWebAddress(text: string): Reading<string> {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !['http:', 'https:'].includes(url.protocol)) {
    return refused(
      'BAD_URL',
      `${quoted(text)} is not a web address`,
      'Write `https://host/path`, or `{ env: NAME }` where the address is a secret.',
    );
  }
  if (url.username !== '' || url.password !== '') {
    return refused(
      'SECRET_IN_PLAIN_TEXT',
      'A web address with a user in it stands here in plain text',
      'Put the address where the worker runs and write `{ env: NAME }` or `{ file: /run/secrets/name }`.',
    );
  }
  return { value: text };
}

/** What a mail address looks like: a name, `@`, a host; without a display name. */
export const MAIL_ADDRESS_PATTERN = '^[^\\s<>,;"@]+@[^\\s<>,;"@]+$';

/** Reads a mail address. */
export function readMailAddress(text: string): Reading<string> {
  if (new RegExp(MAIL_ADDRESS_PATTERN).test(text)) return { value: text };
  return refused(
    'BAD_NAME',
    `${quoted(text)} is not a mail address`,
    'Write the address only, such as `oncall@example.com`.',
  );
}

/** Reads the host of a server: a name or an address, without scheme and port. */
export function readHost(text: string): Reading<string> {
  const isIpv6 = /^[0-9A-Fa-f:]*:[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*$/.test(text);
  const isName = /^[A-Za-z0-9]([A-Za-z0-9_.-]{0,252}[A-Za-z0-9])?$/.test(text);
  if (isIpv6 || isName) return { value: text };
  const host = /^(?:[a-z]+:\/\/)?([A-Za-z0-9_.-]+):(\d+)/.exec(text);
  return refused(
    'BAD_NAME',
    `${quoted(text)} is not a host name or address`,
    host === null
      ? 'Write e.g. `10.0.0.11`.'
      : `Write \`${host[1]}\`, and \`port: ${host[2]}\` beside the list.`,
  );
}
