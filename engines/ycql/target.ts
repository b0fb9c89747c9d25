import type { ConnectionOptions } from 'node:tls';
import { defined } from '../../model/defined.ts';
import { permanent } from '../../model/errors.ts';
import type { SecretRef, YcqlSource } from '../../model/pipeline.ts';
import type { VerbContext } from '../engine.ts';

/** Where a cluster answers and how to log in. Holds secrets, so it never leaves the worker. */
export interface CqlTarget {
  readonly contactPoints: readonly string[];
  readonly port: number;
  readonly localDataCenter?: string;
  readonly login?: { readonly username: string; readonly password: string };
  readonly tls?: ConnectionOptions;
}

type Secrets = Pick<VerbContext, 'secret'>;

/** The plan's cluster with its secrets resolved. Throws `SECRET_MISSING`, `YCQL_BAD_URL` (permanent). */
export async function resolveTarget(verb: Secrets, source: YcqlSource): Promise<CqlTarget> {
  if (source.connection !== undefined) return await targetOfUrl(verb, source.connection);
  const { contactPoints, port, localDataCenter, credentials, tls } = source;
  return {
    contactPoints,
    port,
    ...defined({ localDataCenter }),
    ...(credentials === undefined
      ? {}
      : {
          login: {
            username: await verb.secret(credentials.username),
            password: await verb.secret(credentials.password),
          },
        }),
    ...(tls === undefined ? {} : { tls: await resolveTls(verb, tls) }),
  };
}

async function resolveTls(
  verb: Secrets,
  { caFile, certificate, serverName, verify }: NonNullable<YcqlSource['tls']>,
): Promise<ConnectionOptions> {
  const read = (file: string) => verb.secret({ file });
  return {
    rejectUnauthorized: verify,
    ...(caFile === undefined ? {} : { ca: await read(caFile) }),
    ...(certificate === undefined
      ? {}
      : { cert: await read(certificate.certificateFile), key: await verb.secret(certificate.key) }),
    ...defined({ servername: serverName }),
  };
}

const FORM =
  'cql://user:password@host1,host2:9042/?dc=NAME&tls=true&ca=FILE&cert=FILE&key=FILE&servername=NAME, an IPv6 address in brackets';

/**
 * A cluster given as a URL: `cql://user:password@host1,[2001:db8::1]:9042/?dc=eu-west-1&ca=/etc/ca.crt`. `cert` and `key` (files) name a client
 * certificate, `servername` the name on the nodes' certificates; `verify=false` turns their check off. Throws `YCQL_BAD_URL` (permanent), which
 * never repeats the URL.
 */
async function targetOfUrl(verb: Secrets, reference: SecretRef): Promise<CqlTarget> {
  const text = (await verb.secret(reference)).trim();
  const bad = (why: string) =>
    permanent(
      'YCQL_BAD_URL',
      `What ${'env' in reference ? reference.env : reference.file} holds is not the URL of a cluster: ${why}`,
      `Write ${FORM}; special characters in the password percent-encoded, % itself as %25.`,
    );
  const parts =
    /^cql:\/\/(?:([^:@/]*):([^@/]*)@)?((?:\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9_.-]+)(?:,(?:\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9_.-]+))*)(?::(\d+))?\/?(?:\?(.*))?$/.exec(
      text,
    );
  if (parts === null) throw bad('it has another form');
  const [, username, password, hosts = '', port = '9042', query = ''] = parts;
  const plain = (what: string, encoded: string): string => {
    try {
      return decodeURIComponent(encoded);
    } catch {
      throw bad(`its ${what} has a % that begins no percent-encoded character`);
    }
  };
  const options = new Map(
    query
      .split('&')
      .filter((option) => option !== '')
      .map((option) => {
        const [name = '', ...value] = option.split('=');
        return [name, plain('query', value.join('='))] as const;
      }),
  );
  const unknown = [...options.keys()].filter((name) => !OPTIONS.includes(name));
  if (unknown.length > 0) throw bad(`it has no option ${unknown.join(', ')}`);
  if (options.has('cert') !== options.has('key')) throw bad('of cert and key it names only one');
  const dataCenter = options.get('dc');
  const tls = await tlsOf(verb, options);
  return {
    contactPoints: hosts.split(',').map((host) => host.replace(/^\[(.*)\]$/, '$1')),
    port: Number(port),
    ...defined({ localDataCenter: dataCenter }),
    ...(username === undefined || password === undefined
      ? {}
      : { login: { username: plain('user', username), password: plain('password', password) } }),
    ...defined({ tls }),
  };
}

const OPTIONS: readonly string[] = ['dc', 'tls', 'ca', 'cert', 'key', 'servername', 'verify'];

/** The TLS options of a URL; undefined if it asks for no TLS. */
async function tlsOf(
  verb: Secrets,
  options: ReadonlyMap<string, string>,
): Promise<ConnectionOptions | undefined> {
  const [ca, cert, key] = ['ca', 'cert', 'key'].map((name) => options.get(name));
  const serverName = options.get('servername');
  if (options.get('tls') !== 'true' && [ca, cert, serverName].every((each) => each === undefined))
    return undefined;
  const read = (file: string) => verb.secret({ file });
  return {
    rejectUnauthorized: options.get('verify') !== 'false',
    ...(ca === undefined ? {} : { ca: await read(ca) }),
    ...(cert === undefined || key === undefined ? {} : { cert: await read(cert), key: await read(key) }),
    ...defined({ servername: serverName }),
  };
}
