import type { Refusal, RestoreOptions } from './plan-messages.ts';

/**
 * Reads what people type, which may be anything. A message that can't be acted on is refused, and the refusal says what
 * to write. Pure.
 */

const TEXT_AT_MOST = 200;

/** Thrown to the sender of a message that can't be acted on. */
export class Refused extends Error {
  readonly refusal: Omit<Refusal, 'at' | 'message'>;

  constructor(refusal: Omit<Refusal, 'at' | 'message'>) {
    super(`${refusal.reason}. ${refusal.remedy}`);
    this.refusal = refusal;
  }
}

/** Finds the request that a message means: the one with the id that it names, or the only one that there is. */
export function theOne<
  T extends { readonly requestId: string; readonly run: { readonly workflowId: string } },
>(candidates: readonly T[], requestId: string | undefined, what: string): T {
  const matching = candidates.filter(
    (each) => requestId === undefined || each.requestId === requestId || each.run.workflowId === requestId,
  );
  const [only, ...others] = matching;
  if (only !== undefined && others.length === 0) return only;
  const ids = candidates.map((each) => `{"requestId": "${each.requestId}"}`).join(', ');
  throw new Refused({
    code: 'NO_SUCH_REQUEST',
    reason:
      only === undefined
        ? requestId === undefined
          ? `nothing ${what}`
          : `no request ${shortened(requestId)} ${what}`
        : `${matching.length} requests could be meant`,
    remedy: ids === '' ? 'The status shows what there is.' : `Send one of ${ids}.`,
  });
}

/** Reads an object with a few texts. A missing argument counts as `{}`. */
export function readSmall(
  argument: unknown,
  members: readonly string[],
): Readonly<Partial<Record<string, string>>> {
  const example = members.length === 0 ? '{}' : `{} or {"${members[0]}": "…"}`;
  const bad = (reason: string) => new Refused({ code: 'BAD_REQUEST', reason, remedy: `Write ${example}.` });
  if (argument === undefined || argument === null) return {};
  if (typeof argument !== 'object' || Array.isArray(argument)) throw bad('the request is no JSON object');
  for (const [name, value] of Object.entries(argument)) {
    if (!members.includes(name)) throw bad(`the request has a member that is not known, ${shortened(name)}`);
    if (typeof value !== 'string' || value === '' || value.length > TEXT_AT_MOST) {
      throw bad(`"${name}" is not a text of 1 to ${TEXT_AT_MOST} characters`);
    }
  }
  return argument as Readonly<Partial<Record<string, string>>>;
}

const isText = (value: unknown): boolean =>
  typeof value === 'string' && value !== '' && value.length <= TEXT_AT_MOST;
const isFlag = (value: unknown): boolean => typeof value === 'boolean';
const isOneOf =
  (...texts: readonly string[]) =>
  (value: unknown): boolean =>
    texts.some((text) => text === value);

const OPTIONS: Readonly<Record<keyof RestoreOptions, (value: unknown) => boolean>> = {
  connection: isSecretRef,
  contents: isOneOf('all', 'schema', 'data'),
  asNew: isFlag,
  owner: isText,
  placement: isOneOf('source', 'target'),
  globals: isFlag,
  check: isOneOf('rows', 'content'),
  indexCheckMs: (value) => typeof value === 'number' && value >= 0,
  parallelism: (value) => Number.isSafeInteger(value) && Number(value) > 0,
  tolerate: isFlag,
  takeName: isFlag,
  excludeTables: (value) => Array.isArray(value) && value.every((text) => typeof text === 'string'),
  taskQueue: isText,
};

/**
 * Separates the command line's own options from what a person can type. Whoever sends a signal can write options too, so they are checked: another member
 * would become one of the restore's own (`replace`, which then nobody would have to approve), and a wrong type would keep the entity from going on.
 *
 * @param unchecked true: they are taken as an older release took them
 */
export function splitOptions(
  argument: unknown,
  unchecked = false,
): {
  readonly wish: unknown;
  readonly options?: RestoreOptions;
} {
  if (typeof argument !== 'object' || argument === null || !('options' in argument))
    return { wish: argument };
  const { options, ...wish } = argument;
  if (unchecked) return { wish, options: options as RestoreOptions };
  const bad = (what: string) =>
    new Refused({
      code: 'BAD_REQUEST',
      reason: `\`${what}\` is not as the command line sends it`,
      remedy: 'Leave `options` out.',
    });
  if (typeof options !== 'object' || options === null || Array.isArray(options)) throw bad('options');
  for (const [name, value] of Object.entries(options)) {
    const isRight = Object.hasOwn(OPTIONS, name) && OPTIONS[name as keyof RestoreOptions](value);
    if (!isRight && value !== undefined) throw bad(`options.${shortened(name)}`);
  }
  return { wish, options };
}

/** Only what a restore takes as an option, of options that nobody may have checked. */
export function knownOptions(options: RestoreOptions): RestoreOptions {
  const known = Object.entries(options).filter(([name]) => Object.hasOwn(OPTIONS, name));
  return Object.fromEntries(known) as RestoreOptions;
}

function isSecretRef(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const [[name, text] = [], ...others] = Object.entries(value);
  return others.length === 0 && (name === 'env' || name === 'file') && typeof text === 'string';
}

/** A text cut to 60 characters, for a message. */
export function shortened(text: string): string {
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}
