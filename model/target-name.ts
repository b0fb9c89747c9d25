/** PostgreSQL cuts longer names off (NAMEDATALEN - 1). */
const LONGEST_DATABASE_BYTES = 63;

/** Why a name can't be that of a database or a keyspace that a restore makes; without a full stop. */
interface NameProblem {
  readonly problem: string;
  readonly remedy: string;
}

/** What is wrong with the name that somebody chose for a restored database; undefined if nothing is. Pure. */
export function databaseNameProblem(name: string): NameProblem | undefined {
  const bytes = new TextEncoder().encode(name).length;
  if (bytes > 0 && bytes <= LONGEST_DATABASE_BYTES) return undefined;
  return {
    problem:
      bytes === 0
        ? '"" can\'t be the name of a database'
        : `"${name}" has ${bytes} bytes, and of a name PostgreSQL keeps the first ${LONGEST_DATABASE_BYTES}`,
    remedy: `Choose a name of 1 to ${LONGEST_DATABASE_BYTES} bytes.`,
  };
}

/** The same for a keyspace. */
export function keyspaceNameProblem(name: string): NameProblem | undefined {
  if (/^\w{1,48}$/.test(name)) return undefined;
  return {
    problem: `"${name}" can't be the name of a keyspace`,
    remedy: 'Names of keyspaces have 1 to 48 letters, digits and underscores.',
  };
}
