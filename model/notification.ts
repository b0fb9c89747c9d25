import type { SecretRef } from './source.ts';

/** The events that a plan can report: the end of a backup, a request that was refused, the verdict of a drill. */
type NotifyEvent = 'success' | 'failure' | 'refused' | 'drill';

/** One receiver of reports, and the events it wants. */
export interface NotifyTarget {
  readonly kind: 'webhook' | 'slack';
  readonly url: SecretRef;
  readonly on: readonly NotifyEvent[];
}

/** What happened, for people and for programs; the body of a generic webhook. */
export interface Notification {
  readonly event: NotifyEvent;
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
