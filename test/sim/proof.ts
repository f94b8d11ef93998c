/** Stands for an agent's signature over the edge's nonce: who checks it compares. */
export function proofOf(agent: string, nonce: string): string {
  return `${agent}~${nonce}`;
}
