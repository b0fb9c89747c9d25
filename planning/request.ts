import type { RecoveryRefusal, RecoveryRequest } from '../model/recovery.ts';

type RequestReading = { readonly request: RecoveryRequest } | { readonly refusal: RecoveryRefusal };

const TEXT = (value: unknown) => typeof value === 'string' && value !== '';
/** What an entity remembers of each request. */
const LINE = (value: unknown) => typeof value === 'string' && value !== '' && value.length <= 200;
const FLAG = (value: unknown) => typeof value === 'boolean';

const MEMBERS: Readonly<
  Record<keyof RecoveryRequest, { readonly is: (value: unknown) => boolean; readonly what: string }>
> = {
  to: {
    is: TEXT,
    what: 'an instant such as "2026-11-22T10:04:00Z", "2026-11-22 10:04 Europe/Berlin", "now" or "-15m"',
  },
  backup: { is: TEXT, what: 'the id of a backup' },
  nearest: { is: (value) => value === 'before' || value === 'exact', what: '"before" or "exact"' },
  verified: { is: FLAG, what: 'true or false' },
  into: {
    is: (value) => TEXT(value) || (isMapping(value) && Object.values(value).every(TEXT)),
    what: 'a database name, or {"source": "name"}',
  },
  tables: {
    is: (value) => Array.isArray(value) && value.length > 0 && value.every(TEXT),
    what: 'a list such as ["public.orders"]',
  },
  replace: { is: FLAG, what: 'true or false' },
  reason: { is: LINE, what: 'a text of at most 200 characters' },
  requestId: { is: LINE, what: 'a text of at most 200 characters' },
  safetyBackup: { is: FLAG, what: 'true or false' },
  tolerate: { is: FLAG, what: 'true or false' },
  takeName: { is: FLAG, what: 'true or false' },
  owner: { is: TEXT, what: 'the name of a role' },
  approval: { is: (value) => value === 'required', what: '"required"' },
  breakOthers: { is: FLAG, what: 'true or false' },
};

/**
 * Reads a request that a person has typed into the Temporal UI, so it may be anything. Nothing at all, or `{}`, asks for the
 * newest instant. A refusal says what is wrong and what to write.
 *
 * @param ofAnyLength true: reason and id are of any length, as an older release took them
 */
export function readRecoveryRequest(value: unknown, ofAnyLength = false): RequestReading {
  if (value === undefined || value === null) return { request: {} };
  if (!isMapping(value)) {
    return refusal(
      'the request is no JSON object',
      'Write e.g. {"to": "2026-11-22T10:04:00Z"}, or {} for the newest instant.',
    );
  }
  for (const [name, given] of Object.entries(value)) {
    const member = isMember(name) ? MEMBERS[name] : undefined;
    if (member === undefined) {
      return refusal(
        `the request has a member that is not known, ${shortened(name)}`,
        `Members are ${Object.keys(MEMBERS).join(', ')}.`,
      );
    }
    const is = member.is === LINE && ofAnyLength ? TEXT : member.is;
    if (!is(given)) {
      return refusal(`\`${name}\` can't be ${shortened(given)}`, `Write ${member.what}.`);
    }
  }
  if (value.replace === true && value.into !== undefined) {
    return refusal('`replace` takes the original’s name, so `into` has no meaning', 'Leave out one of them.');
  }
  if (value.takeName === true && value.tolerate !== true) {
    return refusal(
      '`takeName` is about what `tolerate` leaves out',
      'Add "tolerate": true, or leave it out.',
    );
  }
  if (value.breakOthers === true && value.replace !== true) {
    return refusal(
      '`breakOthers` is about what `replace` overwrites, and nothing is broken beside',
      'Add "replace": true, or leave it out.',
    );
  }
  return { request: value };
}

function refusal(reason: string, remedy: string): RequestReading {
  return { refusal: { kind: 'refused', code: 'BAD_REQUEST', reason, remedy, notes: [] } };
}

function isMapping(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isMember(name: string): name is keyof RecoveryRequest {
  return Object.hasOwn(MEMBERS, name);
}

function shortened(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}
