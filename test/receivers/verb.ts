import { resolveSecret } from '../../engines/resolve-secret.ts';

/** What a receiver is called with. Nothing stops it, and nobody listens to it. */
export const verb = {
  signal: new AbortController().signal,
  attempt: 1,
  heartbeat: () => undefined,
  log: () => undefined,
  secret: resolveSecret,
};
