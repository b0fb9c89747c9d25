import { readFileSync } from 'node:fs';
import type { ConnectionOptions } from 'node:tls';
import type { ClientConfig } from 'pg';
import { messageOf, permanent } from '../../model/errors.ts';

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

const URL_SHAPE =
  /^(?:postgres|postgresql|yugabytedb):\/\/(?:([^@/?]*)@)?([^/?]*)(?:\/([^?]*))?(?:\?(.*))?$/s;

/** Parses a connection URL. Throws `YSQL_BAD_URL` (permanent), which never quotes the URL since it holds a password. */
export function parseConnectionUrl(url: string): ConnectionTarget {
  const [, credentials = '', authority = '', path = '', query = ''] = URL_SHAPE.exec(url.trim()) ?? badUrl();
  const separator = credentials.indexOf(':');
  const user = separator < 0 ? credentials : credentials.slice(0, separator);
  const password = separator < 0 ? undefined : decode(credentials.slice(separator + 1));
  const parameters = Object.fromEntries(new URLSearchParams(query));
  const userName = decode(user) || parameters.user || process.env.PGUSER || process.env.USER;
  return {
    hosts: parseHosts(parameters.host ?? authority, parameters.port),
    user: userName,
    password: password ?? parameters.password,
    database: decode(path) || parameters.dbname || process.env.PGDATABASE || userName || 'postgres',
    parameters,
  };
}

function parseHosts(authority: string, portParameter: string | undefined): ConnectionTarget['hosts'] {
  const defaultPort = portParameter ?? process.env.PGPORT ?? '5432';
  const list = authority === '' ? (process.env.PGHOST ?? 'localhost') : authority;
  return list.split(',').map((entry) => {
    const decoded = decode(entry);
    const match = /^(\[[^\]]+\]|\/.*|[^:]*)(?::(\d+))?$/.exec(decoded) ?? badUrl();
    const port = Number(match[2] ?? defaultPort);
    if (!Number.isInteger(port) || port < 1 || port > 65_535) badUrl();
    return { host: (match[1] || 'localhost').replaceAll(/^\[|\]$/g, ''), port };
  });
}

function decode(text: string): string {
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
export function clientConfigs(target: ConnectionTarget, database: string): readonly ClientConfig[] {
  return target.hosts.flatMap(({ host, port }) =>
    tlsChoices(target.parameters).map((ssl) => ({
      host,
      port,
      database,
      ssl,
      ...(target.user === undefined ? {} : { user: target.user }),
      ...(target.password === undefined ? {} : { password: target.password }),
      ...(target.parameters.options === undefined ? {} : { options: target.parameters.options }),
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
 * Environment for libpq's programs: this process's, without what names another server, and with the password, which never stands
 * on a command line, and the session's `options`.
 */
export function libpqEnvironment(target: ConnectionTarget): NodeJS.ProcessEnv {
  const environment: NodeJS.ProcessEnv = {
    ...process.env,
    LC_ALL: 'C',
    PGAPPNAME: 'holdfast',
    PGCONNECT_TIMEOUT: '15',
  };
  for (const name of ELSEWHERE) delete environment[name];
  if (target.password !== undefined) environment.PGPASSWORD = target.password;
  if (target.parameters.options !== undefined) environment.PGOPTIONS = target.parameters.options;
  for (const name of TLS_PARAMETERS) {
    const value = target.parameters[name];
    if (value !== undefined) environment[`PG${name.toUpperCase()}`] = value;
  }
  return environment;
}

/**
 * Arguments of a libpq program that say where to connect and as whom. `option` is how it takes its database: `--dbname` takes a
 * connection string, in which the name is quoted, so that a name with `=` or `://` stays a name; `--database` takes it as it is.
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
    `${option}=${option === '--dbname' ? quoted : database}`,
  ];
}
