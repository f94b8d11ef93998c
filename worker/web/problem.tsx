/** An error, as a page: the same sentence that every other client gets. */
import type { FC } from "hono/jsx";

/** What the page needs of a problem body (RFC 9457). */
export type ShownProblem = { status: number; title: string; detail: string };

export const ProblemPage: FC<{
  problem: ShownProblem;
  /** Path of the form that adds builds, with what is known already. */
  add: string;
}> = ({ problem, add }) => (
  <>
    <h1>{problem.title}</h1>
    <p class="detail">{problem.detail}</p>
    <p class="hint">Status {problem.status}.</p>
    <nav aria-label="Ways on">
      <ul>
        <li>
          <a href="/?q=">Look through the builds</a>
        </li>
        <li>
          <a href={add}>Add a build</a>
        </li>
      </ul>
    </nav>
  </>
);
