/** Turns Ctrl-C (SIGINT) and SIGTERM into events to wait for, instead of the end of the process. */

const SIGNALS = ['SIGINT', 'SIGTERM'] as const;

/** Signals that were caught, to wait for. */
export interface Interrupts {
  /** Resolves at the next signal. Resolves at once if a signal came after the last call. */
  next(): Promise<'interrupted'>;
  /** Lets the signals end the process again. */
  stop(): void;
}

/** Catches SIGINT and SIGTERM until `stop` is called. */
export function catchInterrupts(): Interrupts {
  let wake: (() => void) | undefined;
  let pending = false;
  const onSignal = () => {
    pending = true;
    wake?.();
  };
  for (const signal of SIGNALS) process.on(signal, onSignal);
  return {
    next: () =>
      new Promise((resolve) => {
        wake = () => {
          pending = false;
          resolve('interrupted');
        };
        if (pending) wake();
      }),
    stop: () => {
      for (const signal of SIGNALS) process.off(signal, onSignal);
    },
  };
}

/** Waits for the next interrupt, and keeps the process alive until then. */
export async function untilInterrupted(): Promise<void> {
  const interrupts = catchInterrupts();
  const alive = setInterval(() => undefined, 60_000);
  await interrupts.next();
  clearInterval(alive);
  interrupts.stop();
}

/** Runs `work` to its end. A signal that comes meanwhile takes effect afterwards. */
export async function uninterrupted<T>(work: () => Promise<T>): Promise<T> {
  const held: NodeJS.Signals[] = [];
  const hold = (signal: NodeJS.Signals) => {
    held.push(signal);
  };
  for (const signal of SIGNALS) process.on(signal, hold);
  try {
    return await work();
  } finally {
    for (const signal of SIGNALS) process.off(signal, hold);
    // If there are other listeners, they have already received the signal.
    for (const signal of held) if (process.listenerCount(signal) === 0) process.kill(process.pid, signal);
  }
}
