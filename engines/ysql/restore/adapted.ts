import { isOfTablegroup, withoutPlacement } from '../placement.ts';
import type { DumpEntry } from '../server/dump-script.ts';
import { withOwner, withoutMissingRoles } from '../server/roles.ts';
import type { Statement } from '../server/sql-text.ts';

/** A statement as it runs on the target server. */
export interface Adapted {
  readonly text: string;
  readonly tokens: Statement['tokens'];
}

/** The properties of a target that change the text of statements. */
export interface TextAdaptation {
  readonly owner: string | undefined;
  readonly roles: ReadonlySet<string>;
  /** Whether the source or the target decides how tables are split and which of them share tablets. */
  readonly placement: 'source' | 'target';
}

/**
 * False for the statement that sets an event trigger's owner. Only a superuser may own or create one, so with one owner for all objects,
 * event triggers stay with their creator.
 */
function isNotOwnerOfEventTrigger({ tokens }: Statement): boolean {
  const [alter, event, trigger, , owner] = tokens.map(({ text }) => text);
  return !(alter === 'alter' && event === 'event' && trigger === 'trigger' && owner === 'owner');
}

/** Returns the statements of an entry as they run on the target server. Pure. */
export function adapted(entry: DumpEntry, { owner, roles, placement }: TextAdaptation): readonly Adapted[] {
  if (placement === 'target' && isOfTablegroup(entry)) return [];
  const statements =
    owner === undefined
      ? entry.statements
      : withoutMissingRoles(entry, roles).filter(isNotOwnerOfEventTrigger);
  return statements.map((statement) => ({
    text:
      placement === 'target'
        ? withOwner({ ...statement, text: withoutPlacement(statement) }, owner)
        : withOwner(statement, owner),
    tokens: statement.tokens,
  }));
}
