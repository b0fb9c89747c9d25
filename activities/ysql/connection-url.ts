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

/** Environment for libpq's programs: the password travels here and never on a command line. */
export function libpqEnvironment(target: ConnectionTarget, database: string): Record<string, string> {
  const environment: Record<string, string> = {
    PGHOST: target.hosts.map(({ host }) => host).join(','),
    PGPORT: target.hosts.map(({ port }) => port).join(','),
    PGDATABASE: database,
    PGAPPNAME: 'holdfast',
    PGCONNECT_TIMEOUT: '15',
  };
  if (target.user !== undefined) environment.PGUSER = target.user;
  if (target.password !== undefined) environment.PGPASSWORD = target.password;
  for (const name of TLS_PARAMETERS) {
    const value = target.parameters[name];
    if (value !== undefined) environment[`PG${name.toUpperCase()}`] = value;
  }
  return environment;
}
