import { readFileSync } from 'node:fs';
import type { ConnectionOptions } from 'node:tls';
import type { ClientConfig } from 'pg';
import { defined } from '../../../model/defined.ts';
import { messageOf, permanent } from '../../../model/errors.ts';
import { FOR_LIBPQ, programEnvironment } from '../../../model/program-environment.ts';

/** Where and as whom to connect: a `postgresql://` URL taken apart. Several hosts are tried in order, as libpq does. */
export interface ConnectionTarget {
  readonly hosts: readonly { readonly host: string; readonly port: number }[];
  readonly user: string | undefined;
  readonly password: string | undefined;
  /** As libpq: the user's name when the URL has none. */
  readonly database: string;
  /** Query parameters, e.g. `sslmode`. */
  readonly parameters: Readonly<Record<string, string>>;
}

/** Tells servers apart, as one role meets them. */
export function serverKey({ hosts, user }: ConnectionTarget): string {
  return JSON.stringify([hosts, user]);
}

const URL_SHAPE = /^(postgres|postgresql|yugabytedb):\/\/(?:([^@/?]*)@)?([^/?]*)(?:\/([^?]*))?(?:\?(.*))?$/s;

/** Parses a connection URL. Throws `YSQL_BAD_URL` (permanent), which never quotes the URL since it holds a password. */
export function parseConnectionUrl(url: string): ConnectionTarget {
  const [, scheme, credentials, authority = '', path = '', query = ''] =
    URL_SHAPE.exec(url.trim()) ?? badUrl();
  // A password with a plain `@` or `/` would become part of the host's or the database's name, and so of messages.
  if (authority.includes('@') || (credentials === undefined && path.includes('@'))) badUrl();
  const [user = '', ...password] = (credentials ?? '').split(':');
  const parameters = parseParameters(query);
  const userName = decode(user) || parameters.user || process.env.PGUSER || process.env.USER;
  const defaultPort = process.env.PGPORT ?? (scheme === 'yugabytedb' ? '5433' : '5432');
  return {
    hosts: parseHosts(authority, parameters, defaultPort),
    user: userName,
    password: password.length === 0 ? parameters.password : decode(password.join(':')),
    database: decode(path) || parameters.dbname || process.env.PGDATABASE || userName || 'postgres',
    parameters,
  };
}

/** As libpq's `conninfo_uri_parse_params`: only percent signs are decoded, so a plus is a plus; a later value replaces an earlier one. */
function parseParameters(query: string): ConnectionTarget['parameters'] {
  const entries = query
    .split('&')
    .filter((parameter) => parameter !== '')
    .map((parameter) => {
      const at = parameter.indexOf('=');
      if (at < 0) badUrl();
      return [decode(parameter.slice(0, at)), decode(parameter.slice(at + 1))] as const;
    });
  return Object.fromEntries(entries);
}

/** Hosts of the query come before the URL's own. Its `port` is for hosts that have none: one for all of them, or one for each. */
function parseHosts(
  authority: string,
  { host, port }: ConnectionTarget['parameters'],
  defaultPort: string,
): ConnectionTarget['hosts'] {
  const ports = (port ?? '').split(',');
  const portAt = (at: number) => (ports.length === 1 ? ports[0] : ports[at]) || defaultPort;
  if (host !== undefined || authority === '') {
    const names = (host ?? process.env.PGHOST ?? 'localhost').split(',');
    if (ports.length !== 1 && ports.length !== names.length) badUrl();
    return names.map((name, at) => endpoint(name, portAt(at)));
  }
  const entries = authority.split(',');
  if (ports.length !== 1 && ports.length !== entries.length) badUrl();
  return entries.map((entry, at) => {
    const [, name = '', own] = /^(\[[^\]]+\]|[^:]*)(?::(\d+))?$/.exec(entry) ?? badUrl();
    return endpoint(decode(name), own ?? portAt(at));
  });
}

function endpoint(host: string, port: string): ConnectionTarget['hosts'][number] {
  const number = Number(port);
  if (!Number.isInteger(number) || number < 1 || number > 65_535) badUrl();
  return { host: host.replaceAll(/^\[|\]$/g, '') || 'localhost', port: number };
}

function decode(text: string): string {
  if (text.includes('%00')) badUrl();
  try {
    return decodeURIComponent(text);
  } catch (cause) {
    return badUrl(cause);
  }
}

function badUrl(cause?: unknown): never {
  throw permanent(
    'YSQL_BAD_URL',
    'The connection is no valid postgresql:// URL',
    'Write it as postgresql://user:password@host:5433/database?sslmode=verify-full, with special characters percent-encoded.',
    cause,
  );
}

const TLS_PARAMETERS = ['sslmode', 'sslrootcert', 'sslcert', 'sslkey'] as const;

/**
 * What to try, in order, to reach the server: each host, each with and without TLS as libpq's `sslmode` says (without TLS
 * where the URL says nothing). The configurations hold the password: never log them.
 */
export function clientConfigs(
  target: ConnectionTarget,
  database: string,
  ...moreOptions: readonly string[]
): readonly ClientConfig[] {
  const options = [target.parameters.options ?? [], ...moreOptions].flat().join(' ');
  return target.hosts.flatMap(({ host, port }) =>
    tlsChoices(target.parameters).map((ssl) => ({
      host,
      port,
      database,
      ssl,
      ...defined({ user: target.user, password: target.password }),
      ...(options === '' ? {} : { options }),
    })),
  );
}

function tlsChoices(parameters: ConnectionTarget['parameters']): readonly (false | ConnectionOptions)[] {
  const mode = parameters.sslmode ?? process.env.PGSSLMODE ?? 'disable';
  const files = {
    ...(parameters.sslrootcert === undefined ? {} : { ca: readPem(parameters.sslrootcert) }),
    ...(parameters.sslcert === undefined ? {} : { cert: readPem(parameters.sslcert) }),
    ...(parameters.sslkey === undefined ? {} : { key: readPem(parameters.sslkey) }),
  };
  const anyServer = { ...files, rejectUnauthorized: false };
  const anyName = { ...files, checkServerIdentity: () => undefined };
  switch (mode) {
    case 'disable':
      return [false];
    case 'allow':
      return [false, anyServer];
    case 'prefer':
      return [anyServer, false];
    case 'require':
      return [parameters.sslrootcert === undefined ? anyServer : anyName];
    case 'verify-ca':
      return [anyName];
    case 'verify-full':
      return [files];
    default:
      throw permanent(
        'YSQL_BAD_URL',
        `The connection URL has an unknown sslmode "${mode}"`,
        'Write one of disable, allow, prefer, require, verify-ca, verify-full.',
      );
  }
}

function readPem(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw permanent(
      'YSQL_TLS_FILE',
      `Can't read the TLS file ${path} that the connection URL names: ${messageOf(cause)}`,
      'Put the file where this worker can read it, or correct the path.',
      cause,
    );
  }
}

/** Variables that would send a program elsewhere than its arguments say. */
const ELSEWHERE = ['PGHOST', 'PGHOSTADDR', 'PGPORT', 'PGDATABASE', 'PGUSER', 'PGSERVICE', 'PGSERVICEFILE'];

/**
 * Environment for libpq's programs: of this process's what libpq reads, without what names another server, and with the password, which never stands
 * on a command line, and the session's `options`.
 */
export function libpqEnvironment(
  target: ConnectionTarget,
  ...moreOptions: readonly string[]
): NodeJS.ProcessEnv {
  const environment: NodeJS.ProcessEnv = {
    ...programEnvironment(process.env, FOR_LIBPQ),
    LC_ALL: 'C',
    PGAPPNAME: 'holdfast',
    PGCONNECT_TIMEOUT: '15',
  };
  for (const name of ELSEWHERE) delete environment[name];
  if (target.password !== undefined) environment.PGPASSWORD = target.password;
  const own = target.parameters.options ?? (moreOptions.length > 0 ? process.env.PGOPTIONS : undefined);
  const options = [own ?? [], ...moreOptions].flat().join(' ');
  if (options !== '') environment.PGOPTIONS = options;
  for (const name of TLS_PARAMETERS) {
    const value = target.parameters[name];
    if (value !== undefined) environment[`PG${name.toUpperCase()}`] = value;
  }
  return environment;
}

/**
 * Arguments of a libpq program that say where to connect and as whom. `option` is how it names its database. Both forms take a name
 * with `=` or `://` for a connection string, so the name is always given in one, quoted.
 */
export function programArguments(
  target: ConnectionTarget,
  database: string,
  option: '--dbname' | '--database',
): readonly string[] {
  const quoted = `dbname='${database.replaceAll(/[\\']/g, '\\$&')}'`;
  return [
    `--host=${target.hosts.map(({ host }) => host).join(',')}`,
    `--port=${target.hosts.map(({ port }) => port).join(',')}`,
    ...(target.user === undefined ? [] : [`--username=${target.user}`]),
    `${option}=${quoted}`,
  ];
}
