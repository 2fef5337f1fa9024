// A client's picture of a room, and how what happens changes it. The same as `after` in modules/chat/rules.py:
// every event says how something is now, so that applying one twice changes nothing.
const GONE = { text: "", html: "", deleted: true, pinned: false, edited_at: null, mentions: [], reactions: [], attachments: [], previews: [] };

export function after(scene, type, data) {
  const { messages, members, pins } = scene;
  const change = (id, changes) => { const m = messages.get(id); if (m) messages.set(id, { ...m, ...changes }); return m ? [id] : []; };
  switch (type) {
    case "message.created":
      messages.set(data.message.id, data.message);
      return [data.message.id, ...(data.message.thread_id ? change(data.message.thread_id, { replies: data.replies }) : [])];
    case "message.edited":
      return change(data.id, { text: data.text, html: data.html, mentions: data.mentions, edited_at: data.edited_at });
    case "message.previewed": return change(data.id, { previews: data.previews });
    case "message.deleted":
      pins.delete(data.id);
      return [
        ...change(data.id, GONE),
        ...(data.thread_id ? change(data.thread_id, { replies: data.replies }) : []),
      ];
    case "message.pinned": pins.add(data.id); return change(data.id, { pinned: true });
    case "message.unpinned": pins.delete(data.id); return change(data.id, { pinned: false });
    case "reaction.added": return change(data.message_id, { reactions: reacted(messages.get(data.message_id), data) });
    case "reaction.removed": return change(data.message_id, { reactions: unreacted(messages.get(data.message_id), data) });
    case "member.joined": case "member.changed": members.set(data.member.account_id, data.member); return [];
    case "member.left": members.delete(data.account_id); return [];
    case "member.forgotten": {
      const touched = [], stretch = [...messages.values()].filter((m) => m.seq > data.after_seq && m.seq <= data.through_seq);
      for (const m of stretch) {
        if (m.sender_id === data.account_id) { pins.delete(m.id); touched.push(...change(m.id, GONE)); }
        else if (m.reactions.some((r) => r.account_ids.includes(data.account_id))) touched.push(...change(m.id, { reactions: without(m.reactions, data.account_id) }));
      }
      for (const id of data.unnamed) { const m = messages.get(id); if (m) touched.push(...change(id, unnamed(m, data.account_id))); }
      return [...touched, ...Object.entries(data.replies).flatMap(([id, replies]) => change(id, { replies }))];
    }
    case "room.changed": scene.room = data.room; return [];
    case "history.trimmed": {
      const gone = [...messages.values()].filter((m) => m.seq < data.before_seq).map((m) => m.id);
      for (const id of gone) { messages.delete(id); pins.delete(id); }
      return gone;
    }
    default: return [];
  }
}

function reacted(m, { emoji, account_id }) {
  if (!m) return [];
  if (m.reactions.some((r) => r.emoji === emoji && r.account_ids.includes(account_id))) return m.reactions;
  if (!m.reactions.some((r) => r.emoji === emoji)) return [...m.reactions, { emoji, account_ids: [account_id] }];
  return m.reactions.map((r) => (r.emoji === emoji ? { emoji, account_ids: [...r.account_ids, account_id] } : r));
}

// The same as `without_name` in modules/chat/rules.py.
const unnamed = ({ text, html }, id) => ({
  text: text.replace(new RegExp(`@\\[[^\\]\\[\\n]{1,100}\\]\\((${id})\\)`, "gi"), "@[-]($1)"),
  html: html.replace(new RegExp(`(<span class="mention" data-account="${id}" dir="auto">@)[^<]*(?=</span>)`, "g"), "$1—"),
});
const without = (reactions, id) => reactions.map((r) => ({ emoji: r.emoji, account_ids: r.account_ids.filter((a) => a !== id) })).filter((r) => r.account_ids.length);

function unreacted(m, { emoji, account_id }) {
  if (!m) return [];
  return m.reactions.map((r) => (r.emoji === emoji ? { emoji, account_ids: r.account_ids.filter((a) => a !== account_id) } : r)).filter((r) => r.account_ids.length);
}
