import type { SecretRef } from './source.ts';

/** A kind of run whose end is an event. `off-cluster` is a backup that exports a universe's history. */
export type RunKind = 'backup' | 'restore' | 'verify' | 'drill' | 'prune' | 'off-cluster';

/**
 * How a run ended. `completed`: it did what it should, and where it compares something, the verdict is OK. `inconclusive`: it could not
 * find out.
 */
export type RunOutcome = 'completed' | 'failed' | 'inconclusive' | 'cancelled';

/** What can happen to a plan. `io.holdfast.` before it makes the type of a CloudEvent. */
export type EventName =
  | `${RunKind}.${RunOutcome}`
  | 'backup.started'
  /** The search for snapshots to export failed, so nothing is exported. */
  | 'off-cluster.stalled'
  | 'archive.failed'
  /** The archive of changes has a hole and begins anew. */
  | 'archive.gap'
  /** As `archive.gap`, since the slot kept too much on the source and was given up. */
  | 'archive.slot-given-up'
  /** Retention would drop more backups than `deletion.atOnce`, so it drops none of them. */
  | 'prune.held-back'
  /** Databases were found that are plans now. */
  | 'discover.found'
  | 'discover.vanished'
  /** Databases were found that can't be plans. */
  | 'discover.refused'
  /** The databases can't be listed. */
  | 'discover.failed'
  | 'request.refused';

/** The events that a plan can name, in the order of docs/events.md. */
export const EVENT_NAMES = [
  'backup.started',
  'backup.completed',
  'backup.failed',
  'backup.cancelled',
  'restore.completed',
  'restore.failed',
  'restore.inconclusive',
  'restore.cancelled',
  'verify.completed',
  'verify.failed',
  'verify.inconclusive',
  'verify.cancelled',
  'drill.completed',
  'drill.failed',
  'drill.inconclusive',
  'drill.cancelled',
  'prune.completed',
  'prune.failed',
  'prune.cancelled',
  'prune.held-back',
  'off-cluster.completed',
  'off-cluster.failed',
  'off-cluster.cancelled',
  'off-cluster.stalled',
  'archive.failed',
  'archive.gap',
  'archive.slot-given-up',
  'discover.found',
  'discover.vanished',
  'discover.refused',
  'discover.failed',
  'request.refused',
] as const satisfies readonly EventName[];

/** Names of several events, which the first version gave them and which plans and receivers know. */
export const EVENT_GROUPS = ['success', 'failure', 'refused', 'drill'] as const;

export type EventGroup = (typeof EVENT_GROUPS)[number];

/** The group of each event that has one. */
const GROUP_OF: Readonly<Partial<Record<EventName, EventGroup>>> = {
  'backup.completed': 'success',
  'backup.failed': 'failure',
  'off-cluster.failed': 'failure',
  'archive.failed': 'failure',
  'archive.gap': 'failure',
  'archive.slot-given-up': 'failure',
  'discover.vanished': 'failure',
  'discover.failed': 'failure',
  'discover.refused': 'refused',
  'prune.held-back': 'refused',
  'request.refused': 'refused',
  'drill.completed': 'drill',
  'drill.failed': 'drill',
  'drill.inconclusive': 'drill',
};

/** What a receiver may ask for. `problems`: every event after which somebody should look. `all`: every event. */
export type EventWish = EventName | EventGroup | 'problems' | 'all';

/**
 * How near a receiver may be: `public` addresses alone, `private` networks too, or `loopback`, the worker's own host, too. Link-local
 * addresses, which are those of cloud metadata, are never called.
 */
export type Reach = 'public' | 'private' | 'loopback';

interface TargetBase {
  /** Empty for a `ping`. */
  readonly on: readonly EventWish[];
}

interface WebTarget extends TargetBase {
  readonly url: SecretRef;
  /** Absent in plans of an older version: `loopback`. */
  readonly reach?: Reach;
}

/** One receiver, and the events that it wants. */
export type NotifyTarget =
  | (WebTarget & {
      readonly kind: 'webhook';
      /** Absent: the notification itself is the body. */
      readonly format?: 'cloudevents';
      /** Key of the signature (Standard Webhooks). Absent: nothing is signed. */
      readonly secret?: SecretRef;
    })
  | (WebTarget & { readonly kind: 'slack' })
  /** A dead-man's switch: called when a backup starts and when it ends. It alarms by itself when the calls stay away. */
  | (WebTarget & { readonly kind: 'ping' })
  | (TargetBase & {
      readonly kind: 'email';
      readonly to: readonly string[];
      readonly from: string;
      /** An `smtp://` or `smtps://` URL. */
      readonly smtp: SecretRef;
    });

/** Whom a run tells of its end. A run of an older version has neither. */
export interface Audience {
  readonly notify?: readonly NotifyTarget[];
  readonly labels?: Readonly<Record<string, string>>;
}

/** What happened, for people and for programs; the body of a generic webhook. */
export interface Notification {
  /** The name that the first version gave the event; the same as `type` for events that it did not have. */
  readonly event: EventGroup | EventName;
  /** Absent in runs of an older version. */
  readonly type?: EventName;
  readonly plan: string;
  readonly labels: Readonly<Record<string, string>>;
  /** False: somebody should look. */
  readonly ok: boolean;
  /** One sentence. */
  readonly headline: string;
  readonly at: string;
  readonly workflowId: string;
  readonly backup?: string;
  readonly error?: { readonly code: string; readonly message: string };
  /** Facts to show beside the headline, by name. */
  readonly facts: Readonly<Record<string, string>>;
}

/** An e-mail in plain text, and its way. */
export interface MailRequest {
  readonly to: readonly string[];
  readonly from: string;
  readonly smtp: SecretRef;
  /** The same for every try, so that mailboxes show a repetition once. */
  readonly messageId: string;
  readonly subject: string;
  readonly text: string;
}

/** The group of an event; undefined for events that the first version did not have. */
export const groupOf = (type: EventName): EventGroup | undefined => GROUP_OF[type];

/** The events of which a `ping` is called. */
const PINGED: readonly EventName[] = [
  'backup.started',
  'backup.completed',
  'backup.failed',
  'backup.cancelled',
];

/** Whether a receiver wants an event. */
export function wants({ kind, on }: NotifyTarget, type: EventName, ok: boolean): boolean {
  if (kind === 'ping') return PINGED.includes(type);
  const group = groupOf(type);
  return on.some((wish) => wish === type || wish === group || wish === 'all' || (wish === 'problems' && !ok));
}
