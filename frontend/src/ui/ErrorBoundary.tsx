import { Component, type ReactNode } from "react";

import { Button } from "./Button";
import { Icon } from "./Icon";

interface Props {
  children: ReactNode;
  what: string;
}

/** Keeps a defect in one part of the page from taking the rest with it. */
export class ErrorBoundary extends Component<Props, { error: Error | null }> {
  override state: { error: Error | null } = { error: null };

  static getDerivedStateFromError(error: Error) {
    return { error };
  }

  override render() {
    const { error } = this.state;
    if (error === null) return this.props.children;
    return (
      <div className="notice notice--bad" role="alert">
        <Icon name="alert" />
        <div className="notice__text">
          <strong>{this.props.what} could not be shown</strong>
          <p>{error.message}</p>
        </div>
        <Button onClick={() => this.setState({ error: null })}>Try again</Button>
        <Button onClick={() => location.reload()}>Reload the page</Button>
      </div>
    );
  }
}
