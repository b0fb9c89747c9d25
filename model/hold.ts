/** Says that a backup must stay, without end, until somebody releases it. */
export interface Hold {
  readonly plan: string;
  readonly backup: string;
  readonly id: string;
  readonly reason: string;
  /** Who asked for it, as that process said: nobody checks it. */
  readonly by: string;
  readonly at: string;
  readonly released?: { readonly at: string; readonly by: string; readonly reason: string };
}
