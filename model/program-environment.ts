/** Variables of a process, by name. */
export type Variables = Readonly<Record<string, string | undefined>>;

/** Names more variables for the programs that Holdfast starts, separated by commas; a `*` at the end of a name stands for any text. */
const MORE_VARIABLES = 'HOLDFAST_PROGRAM_ENVIRONMENT';

/** Variables that any program may need to run and to speak the user's language. None of them is a secret. */
const FOR_EVERY_PROGRAM: readonly string[] = [
  'PATH',
  'HOME',
  'USER',
  'LOGNAME',
  'SHELL',
  'PWD',
  'TMPDIR',
  'TMP',
  'TEMP',
  'TZ',
  'LANG',
  'LC_*',
  'XDG_*',
  'LD_LIBRARY_PATH',
  'DYLD_*',
  'SSL_CERT_FILE',
  'SSL_CERT_DIR',
];

/** Variables that libpq itself reads. Arguments always say where to connect. */
export const FOR_LIBPQ: readonly string[] = ['PG*', 'KRB5*', 'OPENSSL_*'];

/** Node's own settings, for scripts of this project. */
export const FOR_NODE: readonly string[] = ['NODE_COMPILE_CACHE', 'NODE_EXTRA_CA_CERTS'];

/** Variables by which programs reach the network through a proxy. */
export const FOR_DOWNLOADS: readonly string[] = ['*_proxy', '*_PROXY'];

/**
 * The environment for a program that Holdfast starts. Of `environment` it takes only what every program needs, what `more` names, and what the operator names
 * in `HOLDFAST_PROGRAM_ENVIRONMENT`. A shell holds secrets (a database's URL, keys of a cloud), and a program gets only those that are named here. Pure.
 *
 * @param more names; a `*` at the beginning or the end stands for any text
 */
export function programEnvironment(
  environment: Variables,
  more: readonly string[] = [],
): Record<string, string> {
  const named = (environment[MORE_VARIABLES] ?? '').split(',').map((name) => name.trim());
  const patterns = [...FOR_EVERY_PROGRAM, ...more, ...named.filter((name) => name !== '')];
  return Object.fromEntries(
    Object.entries(environment).filter(
      (entry): entry is [string, string] =>
        entry[1] !== undefined && patterns.some((pattern) => matches(pattern, entry[0])),
    ),
  );
}

function matches(pattern: string, name: string): boolean {
  if (pattern.endsWith('*')) return name.startsWith(pattern.slice(0, -1));
  if (pattern.startsWith('*')) return name.endsWith(pattern.slice(1));
  return name === pattern;
}
