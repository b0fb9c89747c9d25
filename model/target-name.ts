/** PostgreSQL cuts longer names (NAMEDATALEN - 1). */
const LONGEST_DATABASE_BYTES = 63;

/** Why a restore can't give a database or keyspace this name; without a full stop. */
interface NameProblem {
  readonly problem: string;
  readonly remedy: string;
}

/** What is wrong with the name that somebody chose for a restored database. Undefined: nothing. Pure. */
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

/** What is wrong with the name that somebody chose for a restored keyspace. Undefined: nothing. Pure. */
export function keyspaceNameProblem(name: string): NameProblem | undefined {
  if (/^\w{1,48}$/.test(name)) return undefined;
  return {
    problem: `"${name}" can't be the name of a keyspace`,
    remedy: 'Names of keyspaces have 1 to 48 letters, digits and underscores.',
  };
}
