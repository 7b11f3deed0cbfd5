import { useId, type ReactNode } from "react";

interface Props {
  title: string;
  children: ReactNode;
  aside?: ReactNode;
  flush?: boolean; // the content reaches the border, as tables do
}

/** A titled part of a page. */
export function Card({ title, children, aside, flush = false }: Props) {
  const id = useId();
  return (
    <section className="card" aria-labelledby={id}>
      <header className="card__head">
        <h2 id={id}>{title}</h2>
        {aside}
      </header>
      <div className={flush ? "card__body card__body--flush" : "card__body"}>{children}</div>
    </section>
  );
}
