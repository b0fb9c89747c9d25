import type { VerbContext } from './engine.ts';

const EVERY_MS = 2_000;

/** Heartbeats while `work` runs, with the progress it last told; for work that itself has no rhythm. */
export async function whileBeating<T>(
  verb: VerbContext,
  work: (tell: (progress: Readonly<Record<string, number | string>>) => void) => Promise<T>,
): Promise<T> {
  let last: Readonly<Record<string, number | string>> | undefined;
  const beat = () => (last === undefined ? verb.heartbeat() : verb.heartbeat(last));
  const timer = setInterval(beat, EVERY_MS);
  try {
    return await work((progress) => {
      last = progress;
    });
  } finally {
    clearInterval(timer);
  }
}
