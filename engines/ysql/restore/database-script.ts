import type { RestoreRequest } from '../../../model/backup.ts';
import { withoutColocatedDatabase } from '../placement.ts';
import { withDatabaseName } from '../server/database-name.ts';
import type { DumpEntry } from '../server/dump-script.ts';
import { quoteIdentifier, quoteLiteral } from '../server/identifiers.ts';
import { withOwner } from '../server/roles.ts';
import { inKnownTablespace } from '../server/tablespaces.ts';
import type { DatabaseJob } from './job.ts';

/**
 * Returns `CREATE DATABASE` for the working name, with the encoding and locale of the source. A database that was colocated stays
 * so, unless the target decides the placement. A tablespace that the target lacks is left out. Pure.
 */
export function createStatement(
  { database, manifest, names }: DatabaseJob,
  placement: RestoreRequest['placement'],
  tablespaces: ReadonlySet<string>,
): string {
  const create = database.find(({ type }) => type === 'DATABASE')?.statements[0];
  if (create !== undefined) {
    const here = inKnownTablespace(create, tablespaces);
    const kept = placement === 'target' ? withoutColocatedDatabase(here) : here;
    return withDatabaseName(kept, manifest.name, names.working);
  }
  const { encoding, collate, ctype } = manifest;
  return (
    `CREATE DATABASE ${quoteIdentifier(names.working)} TEMPLATE template0 ENCODING ${quoteLiteral(encoding)} ` +
    `LC_COLLATE ${quoteLiteral(collate)} LC_CTYPE ${quoteLiteral(ctype)};`
  );
}

/** Returns the script's other statements about the database (owner, settings, comment, grants), for its current name. Pure. */
export function propertyStatements(
  { database, manifest }: DatabaseJob,
  name: string,
  owner: string | undefined,
): readonly { readonly entry: DumpEntry; readonly text: string }[] {
  return database.flatMap((entry) =>
    entry.statements
      .filter(({ tokens }) => tokens[0]?.text !== 'create')
      .map((statement) => {
        const text = withOwner(statement, owner);
        return { entry, text: withDatabaseName({ ...statement, text }, manifest.name, name) };
      }),
  );
}
