/** A dialog with a form in it. Imported lazily: most visits never open one. */

import * as Radix from "@radix-ui/react-dialog";
import { useState, type ReactNode } from "react";

import { recall, remember } from "../lib/storage";
import { Button } from "./Button";
import { Icon } from "./Icon";

export interface DialogAnswer {
  who: string;
  reason: string;
}

export interface DialogProps {
  title: string;
  children: ReactNode;
  confirm: string;
  danger?: boolean;
  askWho?: boolean;
  askReason?: "required" | "optional";
  busy: boolean;
  error: string | null;
  onConfirm: (answer: DialogAnswer) => void;
  onClose: () => void;
}

export default function Dialog(props: DialogProps) {
  const [who, setWho] = useState(() => recall("who") ?? "");
  const [reason, setReason] = useState("");
  const submit = () => {
    if (props.askWho === true) remember("who", who.trim());
    props.onConfirm({ who: who.trim(), reason: reason.trim() });
  };
  return (
    <Radix.Root open onOpenChange={(open) => !open && props.onClose()}>
      <Radix.Portal>
        <Radix.Overlay className="dialog__veil" />
        <Radix.Content className="dialog">
          <Radix.Title className="dialog__title">{props.title}</Radix.Title>
          <Radix.Description asChild>
            <div className="dialog__text">{props.children}</div>
          </Radix.Description>
          <form
            onSubmit={(event) => {
              event.preventDefault();
              submit();
            }}
          >
            {props.askWho === true && (
              <label className="field">
                <span>Your name</span>
                <input required value={who} autoComplete="name" onChange={(event) => setWho(event.target.value)} />
              </label>
            )}
            {props.askReason !== undefined && (
              <label className="field">
                <span>Reason{props.askReason === "optional" ? " (optional)" : ""}</span>
                <input
                  required={props.askReason === "required"}
                  value={reason}
                  onChange={(event) => setReason(event.target.value)}
                />
              </label>
            )}
            {props.error !== null && (
              <p className="dialog__error" role="alert">
                <Icon name="alert" size={14} /> {props.error}
              </p>
            )}
            <div className="dialog__buttons">
              <Button onClick={props.onClose}>Cancel</Button>
              <Button type="submit" look={props.danger === true ? "danger" : "primary"} disabled={props.busy}>
                {props.busy ? "Working …" : props.confirm}
              </Button>
            </div>
          </form>
        </Radix.Content>
      </Radix.Portal>
    </Radix.Root>
  );
}
