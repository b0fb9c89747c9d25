/**
 * Who sent the message that a handler of this workflow takes right now, as Temporal recorded it: the name that the sender's client gave itself. Undefined
 * outside of a handler, after its first `await`, and for a client without a name. It stands in the history, so a replay gives the same.
 */
export function currentSender(): string | undefined {
  return sender;
}

let sender: string | undefined;

/** Runs a handler as that of a message of this sender. */
export function sentBy<T>(identity: string | null | undefined, handle: () => T): T {
  sender = identity || undefined;
  try {
    return handle();
  } finally {
    sender = undefined;
  }
}
