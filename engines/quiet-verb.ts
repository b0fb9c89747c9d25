import type { VerbContext } from './engine.ts';

/** What a verb gets outside of an activity: the first try, and nobody listens to what it reports. */
export function quietVerb(
  secret: VerbContext['secret'],
  signal: AbortSignal = new AbortController().signal,
): VerbContext {
  return { signal, attempt: 1, heartbeat: () => undefined, log: () => undefined, secret };
}

/** A verb that nothing stops. For what others wait for too: an abort of the one who asked first must not end it. */
export function unstopped<Verb extends VerbContext>(verb: Verb): Verb {
  return { ...verb, signal: new AbortController().signal };
}
