import type { ConnectionOptions } from 'node:tls';
import { permanent } from '../../model/errors.ts';
import type { SecretRef, YcqlSource } from '../../model/pipeline.ts';
import type { VerbContext } from '../engine.ts';

/** Where a cluster answers and how to log in; holds secrets, so it never leaves the worker. */
export interface CqlTarget {
  readonly contactPoints: readonly string[];
  readonly port: number;
  readonly localDataCenter?: string;
  readonly login?: { readonly username: string; readonly password: string };
  readonly tls?: ConnectionOptions;
}

type Secrets = Pick<VerbContext, 'secret'>;

/** The plan's cluster, its secrets resolved. Throws `SECRET_MISSING` (permanent). */
export async function resolveTarget(verb: Secrets, source: YcqlSource): Promise<CqlTarget> {
  if (source.connection !== undefined) return await targetOfUrl(verb, source.connection);
  const { contactPoints, port, localDataCenter, credentials, tls } = source;
  return {
    contactPoints,
    port,
    ...(localDataCenter === undefined ? {} : { localDataCenter }),
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
    ...(serverName === undefined ? {} : { servername: serverName }),
  };
}

/**
 * Another cluster than the plan's, as a URL: `cql://user:password@host1,host2:9042/?dc=eu-west-1&tls=true&ca=/etc/ca.crt`.
 * Throws `YCQL_BAD_URL` (permanent), which never says what the URL is.
 */
async function targetOfUrl(verb: Secrets, reference: SecretRef): Promise<CqlTarget> {
  const text = await verb.secret(reference);
  const parts = /^cql:\/\/(?:([^:@/]*):([^@/]*)@)?([A-Za-z0-9_.,-]+)(?::(\d+))?\/?(?:\?(.*))?$/.exec(text);
  if (parts === null) {
    throw permanent(
      'YCQL_BAD_URL',
      `What ${'env' in reference ? reference.env : reference.file} holds is not the URL of a cluster`,
      'Write cql://user:password@host1,host2:9042/?dc=NAME, special characters in the password percent-encoded.',
    );
  }
  const [, username, password, hosts = '', port = '9042', query = ''] = parts;
  const options = new URLSearchParams(query);
  const dataCenter = options.get('dc');
  const ca = options.get('ca');
  return {
    contactPoints: hosts.split(','),
    port: Number(port),
    ...(dataCenter === null ? {} : { localDataCenter: dataCenter }),
    ...(username === undefined || password === undefined
      ? {}
      : { login: { username: decodeURIComponent(username), password: decodeURIComponent(password) } }),
    ...(options.get('tls') === 'true' || ca !== null
      ? { tls: ca === null ? {} : { ca: await verb.secret({ file: ca }) } }
      : {}),
  };
}
