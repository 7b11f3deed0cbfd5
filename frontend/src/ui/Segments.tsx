interface Props<T extends string> {
  label: string;
  options: readonly { value: T; text: string; count?: number | undefined }[];
  value: T;
  onChange: (value: T) => void;
}

/** A choice of one among a few, all of them visible. */
export function Segments<T extends string>({ label, options, value, onChange }: Props<T>) {
  return (
    <div className="segments" role="group" aria-label={label}>
      {options.map((option) => (
        <button
          key={option.value}
          type="button"
          className="segments__item"
          aria-pressed={option.value === value}
          onClick={() => onChange(option.value)}
        >
          {option.text}
          {option.count !== undefined && <span className="segments__count">{option.count}</span>}
        </button>
      ))}
    </div>
  );
}
