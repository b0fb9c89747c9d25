import { readFileSync } from 'node:fs';
import type { ConnectionOptions } from 'node:tls';
import type { ClientConfig } from 'pg';
import { defined } from '../../../model/defined.ts';
import { messageOf, permanent } from '../../../model/errors.ts';
import { FOR_LIBPQ, programEnvironment } from '../../../model/program-environment.ts';

/** Where to connect and as which role: the parts of a `postgresql://` URL. Several hosts are tried in order, as libpq does. */
export interface ConnectionTarget {
  readonly hosts: readonly { readonly host: string; readonly port: number }[];
  readonly user: string | undefined;
  readonly password: string | undefined;
  /** The user's name when the URL names no database, as in libpq. */
  readonly database: string;
  /** Query parameters, e.g. `sslmode`. */
  readonly parameters: Readonly<Record<string, string>>;
}

/** A key that identifies a server as seen by one role. */
export function serverKey({ hosts, user }: ConnectionTarget): string {
  return JSON.stringify([hosts, user]);
}

const URL_SHAPE = /^(postgres|postgresql|yugabytedb):\/\/(?:([^@/?]*)@)?([^/?]*)(?:\/([^?]*))?(?:\?(.*))?$/s;

/** Parses a connection URL. Throws `YSQL_BAD_URL` (permanent). The error never quotes the URL, which may hold a password. */
export function parseConnectionUrl(url: string): ConnectionTarget {
  const [, scheme, credentials, authority = '', path = '', query = ''] =
    URL_SHAPE.exec(url.trim()) ?? badUrl();
  // An unencoded `@` or `/` in a password would put part of it into the host or the database name, and so into messages.
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

/** Parses like libpq's `conninfo_uri_parse_params`: decodes only percent signs, so a plus stays a plus; a later value replaces an earlier one. */
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

/** Hosts in the query take precedence over the URL's own. The query's `port` applies to hosts without one: one port for all of them, or one for each. */
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
 * Returns the configurations to try, in order: each host, with and without TLS as libpq's `sslmode` says (without TLS where the
 * URL says nothing). The configurations hold the password: never log them.
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

/** Variables that would make a program connect elsewhere than its arguments say. */
const ELSEWHERE = ['PGHOST', 'PGHOSTADDR', 'PGPORT', 'PGDATABASE', 'PGUSER', 'PGSERVICE', 'PGSERVICEFILE'];

/**
 * Returns the environment for libpq's programs: the variables of this process that libpq reads, except those that name another server, plus the
 * session's `options` and the password, which never appears on a command line.
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
 * Returns the arguments that tell a libpq program where to connect and as which role. `option` is the program's option for the
 * database. Both options treat a name with `=` or `://` as a connection string, so this always writes one, with the name quoted.
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
