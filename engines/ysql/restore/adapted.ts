import { isOfTablegroup, withoutPlacement } from '../placement.ts';
import type { DumpEntry } from '../server/dump-script.ts';
import { withOwner, withoutMissingRoles } from '../server/roles.ts';
import type { Statement } from '../server/sql-text.ts';

/** A statement as it is run on the target server. */
export interface Adapted {
  readonly text: string;
  readonly tokens: Statement['tokens'];
}

/** The properties of a target on which the text of statements depends. */
export interface TextAdaptation {
  readonly owner: string | undefined;
  readonly roles: ReadonlySet<string>;
  /** Whether tables are split and kept together as at the source, or as the target does by itself. */
  readonly placement: 'source' | 'target';
}

/** Only a superuser may own an event trigger, and who creates one is a superuser: so with one owner for all, they stay with their creator. */
function isNotOwnerOfEventTrigger({ tokens }: Statement): boolean {
  const [alter, event, trigger, , owner] = tokens.map(({ text }) => text);
  return !(alter === 'alter' && event === 'event' && trigger === 'trigger' && owner === 'owner');
}

/** The statements of an entry as they are run on the target server. Pure. */
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
