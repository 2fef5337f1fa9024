// What goes into requests and comes out of answers, and what each operation asks and answers.
// Generated from the OpenAPI document by `make clients`; not to be edited.

/** A part of a list, in its order. `next_cursor` is null on the last page. */
export interface Page<T> {
  items: T[];
  next_cursor: string | null;
}

export interface Access {
  pin: string;
}

/** An account as other modules show it. */
export interface AccountCard {
  id: string;
  name: string;
  email: string;
  status: AccountStatus;
}

/** `unconfirmed` may look, hold and edit itself (ID-1); `suspended` and `banned` may not sign in; `erased` is nobody. */
export type AccountStatus = "active" | "banned" | "erased" | "suspended" | "unconfirmed";

/** An account as platform admins see it. */
export interface AdminRow {
  id: string;
  email: string;
  name: string;
  status: AccountStatus;
  status_reason: string;
  platform_admin: boolean;
  created_at: string;
}

/** A security event, and of whose account. */
export interface AdminSecurityRow {
  id: string;
  account_id: string;
  email: string;
  kind: string;
  detail: string;
  address: string;
  agent: string;
  at: string;
}

/** Another place or time instead of one that is taken. */
export interface Alternative {
  resource_id: string;
  start: string;
  end: string;
  local_start: string;
  price: Money;
}

export interface ApiKeyRow {
  id: string;
  name: string;
  hint: string;
  permissions: string[];
  created_by: string | null;
  created_at: string;
  expires_at: string | null;
  used_at: string | null;
  limited_to: Reach;
}

export interface Asking {
  email: string;
}

/** A file that the media module keeps. Where it can be had is asked at `/v1/rooms/{id}/files/{file_id}`. */
export interface Attachment {
  id: string;
  kind: MediaKind;
  type: string;
  name: string;
  bytes: number;
  width: number | null;
  height: number | null;
}

export interface AttemptOut {
  at: string;
  provider: string;
  taken: boolean;
  error: string;
}

/** Who acted: a person, an API key, or a part of the house by its name. */
export interface AuditActor {
  kind: string;
  account_id: string | null;
  key_id: string | null;
  service: string;
}

/** One thing that was done. `details` are the event's fields; `changes` in them says each field's before and after. */
export interface AuditEntry {
  seq: number;
  at: string;
  action: string;
  actor: AuditActor;
  object: AuditObject;
  details: unknown;
  address: string;
  trace_id: string;
  hash: string;
  erased: Erasable[];
}

/** What it was done to: `booking`, `venue`, `account` and its id. */
export interface AuditObject {
  kind: string;
  id: string | null;
}

/** The free times of several venues. */
export interface Availabilities {
  items: Availability[];
}

export interface Availability {
  venue_id: string;
  timezone: string;
  days: AvailabilityDay[];
}

/** Slots that *start* on this venue-local calendar date. */
export interface AvailabilityDay {
  date: string;
  resources: ResourceSlots[];
}

export interface BanRow {
  account_id: string;
  banned_by: string;
  banned_at: string;
  until: string | null;
}

export interface Block {
  id: string;
  organisation_id: string;
  venue_id: string;
  resource_ids: string[];
  start: string;
  end: string;
  reason: string;
  rrule: string | null;
}

/** A booking that a block would push out, with places it could move to. */
export interface BlockHit {
  booking: BookingOut;
  moves: Alternative[];
}

export interface BlockPreview {
  occurrences: Period[];
  hits: BlockHit[];
}

/** In which part someone acts on a booking. `house` is the program itself: jobs, reactions, payment. */
export type BookingActor = "customer" | "house" | "staff";

export interface BookingHistory {
  items: TransitionRow[];
}

export interface BookingOut {
  id: string;
  organisation_id: string;
  venue_id: string;
  resource_id: string;
  account_id: string | null;
  status: BookingStatus;
  start: string;
  end: string;
  local_start: string;
  purpose: Purpose;
  team_size: number;
  price: Money;
  paid: Money;
  hold_expires_at: string | null;
  payment: Payment | null;
  access: Access | null;
  authorised: Money | null;
  refund: Money | null;
  note: string | null;
  guest_name: string | null;
  version: number;
}

export interface BookingPatch {
  purpose?: Purpose;
  team_size?: number;
  equipment?: EquipmentWish[];
  note?: string | null;
  price_at_most?: Money | null;
}

export type BookingPayWith = "bank_transfer" | "card" | "credits" | "desk" | "easypaisa" | "jazzcash";

/** BK-4. See `booking.rules.advance` for who may go where. */
export type BookingStatus = "cancelled" | "completed" | "declined" | "draft" | "expired" | "in_progress" | "no_show" | "payment_pending" | "pending_approval" | "upcoming";

/** `hue` is the angle of the brand colour in degrees; the design system does the rest. */
export interface Branding {
  hue?: number | null;
  logo_id?: string | null;
}

export interface BrowserKeys {
  /** base64url */
  p256dh: string;
  /** base64url */
  auth: string;
}

/** What a provider tells of a message. `delivery_id` is the id in a mail's Message-ID and in a webhook's `webhook-id`. */
export interface Callback {
  delivery_id: string;
  status: string;
  error?: string;
}

export interface Cancel {
  reason?: string | null;
  refund_at_least?: Money | null;
}

export interface ChangedPassword {
  current_password: string;
  password: string;
}

/** NO-1. `webhook` goes to an organisation's programs, the others to people. */
export type Channel = "email" | "in_app" | "push" | "sms" | "web_push" | "webhook" | "whatsapp";

export interface ChargeState {
  id: string;
  pay_with: PaymentsPayWith;
  status: ChargeStatus;
  amount: Money;
  discount: Money;
  refunded: Money;
  promo_code: string | null;
  created_at: string;
}

export type ChargeStatus = "due_at_desk" | "paid";

/** Ascending. `more` says whether there is more in the direction that was asked. */
export interface ChatHistory {
  items: Message[];
  more: boolean;
}

/** Local hours in which a person is not to be disturbed; `end` at or before `start` runs past midnight. */
export interface ChatQuietHours {
  /** HH:MM */
  start: string;
  /** HH:MM */
  end: string;
  /** IANA time zone */
  timezone: string;
  weekdays?: number[];
}

/** What waits for a person: messages and mentions in all rooms, and how many rooms have any. */
export interface ChatUnread {
  messages: number;
  mentions: number;
  rooms: number;
  waiting: number;
}

export interface CheckBody {
  organisation_id: string;
  /** A promo code; upper and lower case are the same */
  code: string;
  venue_id: string;
  /** RFC 3339 with an offset */
  start: string;
  /** Whole minutes */
  duration_min: number;
  total: Money;
}

export interface ChildFigures {
  organisation: OrganisationCard;
  figures: Figures;
}

export interface Closure {
  id: string;
  venue_id: string;
  reason: string;
  dates: DateRange | null;
  holiday: boolean;
}

export interface Closures {
  items: Closure[];
}

/** At most 1,000 people. Of a person whose last time nobody knows there is none. */
export interface Company {
  items: Presence[];
}

/** Either the link's token, or the address and the code that was sent to it. */
export interface Confirmation {
  token?: string | null;
  email?: string | null;
  code?: string | null;
}

/** Calendar dates from `from` to `to`, both included. */
export interface DateRange {
  from: string;
  to: string;
}

export interface DaySheet {
  venue_id: string;
  date: string;
  timezone: string;
  start: string;
  end: string;
  open: Period[];
  entries: SheetEntry[];
}

export interface Decline {
  reason: string;
}

export interface DeliveryDetail {
  delivery: DeliveryOut;
  text: string;
  attempts: AttemptOut[];
}

/** A message on its way. `recipient` is masked. `erased`: its reader's account is; that it was sent is all that is known. */
export interface DeliveryOut {
  id: string;
  kind: string;
  topic: string;
  channel: Channel;
  recipient: string;
  account_id: string | null;
  locale: string;
  status: DeliveryStatus;
  tries: number;
  provider: string;
  error: string;
  subject: string;
  created_at: string;
  sent_at: string | null;
  changed_at: string;
  erased: boolean;
}

/** NO-4. `failed` is a dead letter until somebody replays it. */
export type DeliveryStatus = "delivered" | "failed" | "opened" | "queued" | "sent";

/** An engine that a process needs, as that process finds it. */
export interface Dependency {
  name: string;
  ok: boolean;
  took_ms: number;
  detail: string;
}

export interface Description {
  alt: string;
}

/** How mails that can wait are put together. */
export type Digest = "daily" | "never" | "off" | "weekly";

/** Words to try instead of the template's own. */
export interface Draft {
  subject?: string | null;
  text?: string | null;
  html?: string | null;
}

export interface EditRow {
  edited_at: string;
  body: string;
}

export interface EndpointOut {
  id: string;
  url: string;
  events: string[];
  enabled: boolean;
  created_at: string;
}

export interface Endpoints {
  items: EndpointOut[];
}

/** One line of the ledger. Positive: owed or earned by the organisation; negative: held or given away. */
export interface EntryRow {
  transfer_id: string;
  seq: number;
  at: string;
  kind: string;
  account: string;
  account_id: string | null;
  lot_id: string | null;
  payment_id: string | null;
  amount: number;
  currency: string;
  reason: string;
}

export interface EquipmentWish {
  equipment_id: string;
  quantity?: number;
}

/** What an entry says of a person, and says no more when that person's account is erased (PE-8). */
export type Erasable = "address" | "words";

export interface Erasure {
  password: string;
}

export interface ErasureView {
  erase_at: string;
}

export type ExportFormat = "csv" | "jsonl";

/** Where a person's data are fetched. A path of this site, for the person who asked alone. */
export interface ExportLink {
  url: string;
  expires_at: string;
}

export interface ExportWish {
  password: string;
}

/** `duration_min` is the new whole length, not what is added. */
export interface Extend {
  /** Whole minutes */
  duration_min: number;
  price_at_most?: Money | null;
}

/** Where a chain is broken, and how. */
export interface Fault {
  seq: number;
  what: string;
}

/** `path` is the private address of a calendar: who knows it can read it. */
export interface Feed {
  token: string;
  path: string;
}

/**
 * `bookings` stand and begin in the period, `minutes` are theirs; `revenue` was taken in it less what was given back, an
 * amount per currency: currencies are never added up.
 */
export interface Figures {
  bookings: number;
  minutes: number;
  cancelled: number;
  no_shows: number;
  revenue: Money[];
}

export interface FoundRow {
  room_id: string;
  room_kind: RoomKind;
  room_name: string;
  id: string;
  seq: number;
  sender_id: string;
  body: string;
  created_at: string;
  room_subject: RoomSubject | null;
}

/** Days are the parent's, `to` not included. */
export interface FranchiseReport {
  from_date: string;
  to_date: string;
  timezone: string;
  children: ChildFigures[];
  total: Figures;
}

export type Frequency = "daily" | "monthly" | "rarely" | "weekly";

export interface GrantBody {
  account_id: string;
  amount: Money;
  reason: string;
  /** RFC 3339 with an offset */
  expires_at?: string | null;
}

/** An invitation as its guest sees it; times are the venue's. Nothing of price or payment, nor who else comes. */
export interface GuestInvitation {
  id: string;
  booking_id: string;
  status: InviteeStatus;
  host: string;
  organisation: string;
  venue_id: string;
  venue: string;
  address: string;
  resource_id: string;
  place: string;
  start: string;
  end: string;
  local_start: string;
  timezone: string;
  joined: boolean;
}

/** The earliest start first. */
export interface GuestInvitations {
  items: GuestInvitation[];
}

export interface Health {
  status: string;
}

/** What an organisation chose for its rooms. With `previews` the pages that messages link to are asked what they are. */
export interface HouseRule {
  previews?: boolean;
}

/** `status` is `ok` when everything is, `down` when nothing is or the database is away, `degraded` in between. */
export interface HouseStatus {
  status: ServiceState;
  checked_at: string;
  services: ServiceStatus[];
  dependencies: ServiceStatus[];
}

/** How much came within the last 30 days, and how much waits. */
export interface InboxStatistics {
  unread: number;
  total: number;
  topics: TopicFigure[];
}

export interface Invitation {
  /** An e-mail address; case does not matter */
  email: string;
  role: string;
  limited_to?: Reach;
}

/** An invitation that was sent. Its token is in the mail alone. */
export interface Invited {
  id: string;
  email: string;
  role: string;
  expires_at: string;
}

/**
 * Somebody who is invited, as those who look after the booking see it.
 *
 * Of who was invited by address the account is there once they have accepted with it: an address says nothing about accounts.
 * The address is forgotten 28 days after the booking, or with its account; of who accepted the account stays.
 */
export interface Invitee {
  id: string;
  status: InviteeStatus;
  email: string | null;
  account_id: string | null;
  invited_at: string;
  answered_at: string | null;
  may_ask_again: boolean;
}

/** How an invitation stands. Whoever declined may think better of it; what is withdrawn is over for its link. */
export type InviteeStatus = "accepted" | "declined" | "pending" | "withdrawn";

/** The first to be invited first. `places` is how many more the party has room for. */
export interface Invitees {
  items: Invitee[];
  places: number;
}

/** Public ES256 keys as a JWKS, each with its `kid`: the one that signs, the next one, and those whose tokens may live. */
export interface KeySet {
  keys: (Record<string, string>)[];
}

/** `text` holds the first 500 characters. */
export interface LastMessage {
  id: string;
  seq: number;
  sender_id: string;
  text: string;
  created_at: string;
  deleted: boolean;
  attachments: Attachment[];
}

/** Parts of a price that the house itself names. A page words them for its reader; in `label` they are in English. */
export type LineKind = "agreed_before" | "moving_fee" | "promo_code";

/** What stands behind a link of a message, in the page's own words: plain text, nobody vouches for it. */
export interface LinkPreview {
  url: string;
  title: string;
  about: string;
  site: string;
}

/** A point on Earth, WGS 84 degrees. */
export interface Location {
  lat: number;
  lon: number;
}

export interface Login {
  email: string;
  password: string;
}

export interface Lot {
  id: string;
  organisation_id: string;
  account_id: string;
  kind: LotKind;
  amount: Money;
  remaining: Money;
  expires_at: string | null;
  created_at: string;
}

/** Where credits came from. `granted` ones are spent first. */
export type LotKind = "granted" | "purchased" | "subscription";

/** Some by id, or all; one of the two. */
export interface MarkRead {
  ids?: string[] | null;
  all?: boolean;
}

/**
 * The person and where it works.
 *
 * `phone` is the verified number, or without one the number that waits for its code; `phone_waiting` is a number that waits,
 * a first one or another one.
 */
export interface Me {
  id: string;
  email: string;
  name: string;
  status: AccountStatus;
  platform_admin: boolean;
  roles: Place[];
  phone: string | null;
  phone_verified: boolean;
  phone_waiting: string | null;
  erase_at: string | null;
}

/** A file as pages and programs show it. Sizes in pixels are those of images alone. */
export interface MediaCard {
  id: string;
  kind: MediaKind;
  type: string;
  name: string;
  bytes: number;
  width: number | null;
  height: number | null;
  blur: string | null;
  alt: string;
  url: string;
  variants: Variant[];
  expires_at: string | null;
  owner: MediaOwner | null;
}

export type MediaKind = "audio" | "document" | "image" | "video";

/** The object that a file belongs to: `MediaOwner("venues", "venue", venue.id)`. */
export interface MediaOwner {
  module: string;
  kind: string;
  id: string;
}

export interface Member {
  account_id: string;
  role: RoomRole;
  joined_at: string;
  muted_until: string | null;
}

export interface MemberPatch {
  role?: string;
  limited_to?: Reach;
}

/**
 * `limited_to` is the member's own; a role may have limits too, and both count.
 *
 * `email` is empty for who was added by account and has not accepted.
 */
export interface MemberView {
  account_id: string;
  name: string;
  email: string;
  role: string;
  permissions: string[];
  limited_to: Reach;
  joined_at: string;
  version: number;
}

/** A message as everybody in its room sees it. A deleted one keeps its place, without words. */
export interface Message {
  id: string;
  room_id: string;
  seq: number;
  sender_id: string;
  text: string;
  html: string;
  created_at: string;
  client_id: string;
  reply_to: string | null;
  thread_id: string | null;
  replies: number;
  edited_at: string | null;
  deleted: boolean;
  pinned: boolean;
  mentions: string[];
  reactions: Reaction[];
  attachments: Attachment[];
  previews: LinkPreview[];
}

export interface MessageEdit {
  /** A subset of Markdown; at most 16 KiB in UTF-8 */
  text: string;
}

/** Every action but `slow_mode` is about `account_id`. */
export interface Moderation {
  action: ModerationAction;
  account_id?: string | null;
  minutes?: number | null;
  seconds?: number | null;
}

export type ModerationAction = "ban" | "mute" | "remove" | "slow_mode" | "unban" | "unmute";

/** An amount of `currency` in minor units (pence, cents, paisa). */
export interface Money {
  /** Integer minor units: 1250 is 12.50 in GBP */
  amount: number;
  /** ISO 4217 code */
  currency: string;
}

export interface NewBlock {
  resource_ids: string[];
  /** RFC 3339 with an offset */
  start: string;
  /** RFC 3339 with an offset */
  end: string;
  reason: string;
  rrule?: string | null;
}

/** Without `pay_with` the place is held and paid for later. */
export interface NewBooking {
  resource_id: string;
  /** RFC 3339 with an offset */
  start: string;
  /** Whole minutes */
  duration_min: number;
  purpose?: Purpose;
  team_size?: number | null;
  quote_id?: string | null;
  promo_code?: string | null;
  invitees?: NewInvitee[];
  pay_with?: BookingPayWith | null;
  note?: string | null;
}

/** A channel of an organisation. Everybody who is signed in finds and may join a public one. */
export interface NewChannel {
  name: string;
  about?: string;
  public?: boolean;
  member_ids?: string[];
}

/** The venue is shut on these dates, or (`holiday`) on every public holiday of its country and region. One of the two. */
export interface NewClosure {
  reason: string;
  dates?: DateRange | null;
  holiday?: boolean;
}

/** `events`: names such as `booking.confirmed`, `booking.*`, or `*`. */
export interface NewEndpoint {
  url: string;
  events: string[];
}

export interface NewEndpointOut {
  endpoint: EndpointOut;
  signing_key: string;
}

/** By account or by e-mail, one of the two. */
export interface NewInvitee {
  email?: string | null;
  account_id?: string | null;
}

export interface NewKey {
  name: string;
  permissions: string[];
  expires_at?: string | null;
  limited_to?: Reach;
}

/** A key just made. `key` is shown this once. */
export interface NewKeyView {
  id: string;
  name: string;
  hint: string;
  permissions: string[];
  limited_to: Reach;
  created_at: string;
  expires_at: string | null;
  key: string;
}

export interface NewMember {
  account_id: string;
  role: string;
  limited_to?: Reach;
}

/** Without ids: I join myself. */
export interface NewMembers {
  account_ids?: string[];
}

/** `client_id` is chosen by the client; the same message sent again under it is the same message. */
export interface NewMessage {
  /** Chosen by the client; the same on every resend */
  client_id: string;
  /** A subset of Markdown; at most 16 KiB in UTF-8 */
  text?: string;
  attachment_ids?: string[];
  reply_to?: string | null;
}

export interface NewOrganisation {
  name: string;
  kind: OrganisationKind;
  /** ISO 3166-1 alpha-2 */
  country: string;
  /** ISO 4217 code */
  currency: string;
  /** IANA time zone, such as Europe/London */
  timezone: string;
  locale?: string;
  slug?: string | null;
}

export interface NewPassword {
  token: string;
  password: string;
}

export interface NewPhone {
  /** With + and the country code; spaces do not matter */
  phone: string;
}

/**
 * `value` is percent (1 to 100), minor units of the organisation's currency, or minutes, as `kind` says.
 *
 * `starts_at` and `ends_at` bound when the code can be used, half-open. An empty `venue_ids` means every venue. `stacks`: may
 * be used on a payment that has another code, if that one stacks too.
 */
export interface NewPromoCode {
  /** Letters, digits, - and _ */
  code: string;
  kind: PromoKind;
  value: number;
  label?: string;
  /** RFC 3339 with an offset */
  starts_at?: string | null;
  /** RFC 3339 with an offset */
  ends_at?: string | null;
  total_limit?: number | null;
  person_limit?: number | null;
  first_time_only?: boolean;
  venue_ids?: string[];
  stacks?: boolean;
}

/** `url`: an Apprise address in which `{to}` stands for the recipient; for mail `smtp[s]://user:password@host:port`. */
export interface NewProvider {
  channel: Channel;
  name: string;
  url: string;
  place?: number;
}

export interface NewProviderOut {
  provider: ProviderOut;
  callback_key: string;
}

/** What `PushSubscription.toJSON()` gives, in the browser's own words. */
export interface NewPushSubscription {
  /** https address of the browser's push service */
  endpoint: string;
  keys: BrowserKeys;
  expirationTime?: number | null;
}

export interface NewQuote {
  resource_id: string;
  /** RFC 3339 with an offset */
  start: string;
  /** Whole minutes */
  duration_min: number;
  purpose?: Purpose;
  team_size?: number | null;
  promo_code?: string | null;
  equipment?: EquipmentWish[];
}

/** A thing that can be booked. `people` bounds the party per purpose, `[min, max]`; elsewhere 1 to `capacity`. */
export interface NewResource {
  name: string;
  kind: ResourceKind;
  capacity: number;
  sport?: string | null;
  surface?: string | null;
  indoor?: boolean | null;
  people?: Record<string, [number, number]>;
  /** Whole minutes between two possible starts */
  slot_min?: number;
  durations_min?: number[];
  /** Whole minutes */
  buffer_before_min?: number;
  /** Whole minutes */
  buffer_after_min?: number;
  /** Whole minutes */
  lead_min?: number | null;
  /** Whole days */
  horizon_days?: number | null;
  part_ids?: string[];
  /** Ids of images that were sent to `uploads`, in the order shown */
  photo_ids?: string[];
  position?: number;
  active?: boolean;
}

export interface NewRole {
  name: string;
  permissions: string[];
  limited_to?: Reach;
}

/** `member_ids` are the others; the caller is always in the room. */
export interface NewRoom {
  kind: RoomKind;
  name?: string | null;
  member_ids?: string[];
  about?: string;
}

export interface NewTemplate {
  event: string;
  channel: Channel;
  locale: string;
  subject: string;
  text: string;
  html?: string | null;
}

export interface NewUpload {
  bytes: number;
  name?: string;
  /** What an image shows, in words */
  alt?: string;
}

/** Country is the organisation's; `region` narrows public holidays. */
export interface NewVenue {
  name: string;
  address: string;
  location: Location;
  /** IANA time zone, such as Europe/London */
  timezone: string;
  opening_hours: OpeningHours;
  amenities?: string[];
  city?: string | null;
  /** Subdivision as public holidays know it: ENG, BY, CA */
  region?: string | null;
  description?: string;
  house_rules?: string;
  /** Ids of images that were sent to `uploads`, in the order shown */
  photo_ids?: string[];
  listed?: boolean;
  slug?: string | null;
}

/** What a person finds in the inbox. `seq` is the number of the topic's event that brought it. */
export interface Notification {
  id: string;
  seq: number;
  kind: string;
  topic: Topic;
  urgency: Urgency;
  title: string;
  body: string;
  href: string;
  created_at: string;
  read_at: string | null;
  archived_at: string | null;
}

export interface NotificationPatch {
  read?: boolean;
  archived?: boolean;
}

/**
 * `channels` says by topic where messages go; a topic left out has the house's defaults. Security always passes.
 *
 * Quiet hours and time zone are the person's own (`/v1/me/preferences`); here they are read and written too.
 */
export interface NotificationPreferences {
  channels?: Record<string, Channel[]>;
  digest?: Digest;
  quiet_hours?: PeopleQuietHours | null;
  /** IANA time zone */
  timezone?: string | null;
  push_key?: string | null;
}

export interface NotificationsUnread {
  unread: number;
}

/** What of a room its member wants to be told of. */
export type Notify = "all" | "mentions" | "nothing";

export interface Onboarding {
  steps: OnboardingStep[];
}

export interface OnboardingStep {
  step: Step;
  done: boolean;
}

export interface OpenInvitations {
  items: Invited[];
}

/** A public channel, for who looks for one. */
export interface OpenRoom {
  id: string;
  organisation_id: string;
  name: string;
  about: string;
  joined: boolean;
}

/** Open intervals by weekday, local time; a day without intervals is closed. */
export interface OpeningHours {
  mon?: [string, string][];
  tue?: [string, string][];
  wed?: [string, string][];
  thu?: [string, string][];
  fri?: [string, string][];
  sat?: [string, string][];
  sun?: [string, string][];
}

export interface Organisation {
  id: string;
  name: string;
  kind: OrganisationKind;
  country: string;
  currency: string;
  timezone: string;
  locale: string;
  slug: string;
  status: OrganisationStatus;
  branding?: Branding;
  tax: Tax[];
  parent_id: string | null;
  created_at: string;
  version: number;
}

/** What anyone may know of an organisation. */
export interface OrganisationCard {
  id: string;
  name: string;
  slug: string;
  kind: OrganisationKind;
  status: OrganisationStatus;
  country: string;
  currency: string;
}

export type OrganisationKind = "club" | "community" | "gym" | "hotel" | "team";

/** Currency and country stay: amounts and holidays were written in them. */
export interface OrganisationPatch {
  name?: string;
  kind?: OrganisationKind;
  /** IANA time zone, such as Europe/London */
  timezone?: string;
  locale?: string;
  slug?: string;
  branding?: Branding;
  tax?: Tax[];
}

/** Only an active organisation takes bookings. */
export type OrganisationStatus = "active" | "deactivated" | "suspended";

/** A row of the platform's list: the card, and what the organisation still lacks. */
export interface OrganisationsAfter {
  card_id: string;
  name: string;
  slug: string;
  kind: string;
  status: OrganisationStatus;
  country: string;
  currency: string;
  created_at: string;
  listed_venues: number;
  priced_venues: number;
}

export interface Pay {
  pay_with: BookingPayWith;
  credits_amount?: number | null;
  promo_code?: string | null;
}

/** What the customer's device needs to finish paying: one of the two. */
export interface Payment {
  client_secret: string | null;
  redirect: string | null;
}

/**
 * Sums over all charges. `paid` is what was taken and not given back, `due` what is still to be received at the desk, `owed`
 * what is still to be handed back there. `refundable` = `paid` + `due`.
 */
export interface PaymentState {
  id: string;
  organisation_id: string;
  account_id: string | null;
  label: string;
  charged: Money;
  discount: Money;
  refunded: Money;
  paid: Money;
  due: Money;
  owed: Money;
  refundable: Money;
  charges: ChargeState[];
  created_at: string;
}

/** Values as in booking's contract. Those that no provider serves raise MeansNotSetUp. */
export type PaymentsPayWith = "bank_transfer" | "card" | "credits" | "desk" | "easypaisa" | "jazzcash";

/** A person's photo. Its addresses work by themselves; those of a photo that not everybody sees, for less than an hour. */
export interface PeoplePhoto {
  url: string;
  srcset: string;
  blur: string | null;
}

/** Local time of day without notifications; `end` at or before `start` runs past midnight. */
export interface PeopleQuietHours {
  /** HH:MM */
  start: string;
  /** HH:MM */
  end: string;
}

/** What an amount is for. `booking` and `person` are charged once per booking, however long the rule's part is. */
export type Per = "booking" | "hour" | "person" | "person_hour";

/** `[start, end)`; start before end, both aware. Raises ValueError otherwise. */
export interface Period {
  start: string;
  end: string;
}

/** A person as somebody else sees it: null where the owner does not show a field, or has not filled it in. */
export interface PersonView {
  id: string;
  name: string;
  handle: string | null;
  bio: string | null;
  photo_id: string | null;
  city: string | null;
  sports: PlayedSport[] | null;
  preferred_times: PreferredTime[] | null;
  languages: string[] | null;
  photo: PeoplePhoto | null;
}

export interface PhoneCode {
  code: string;
}

/** Where a person works and as what. */
export interface Place {
  organisation_id: string;
  role: string;
  permissions: string[];
}

/** A sport, how well (0.0 beginner to 7.0 professional, in tenths) and how often it is played. */
export interface PlayedSport {
  sport: string;
  level_tenths?: number | null;
  frequency?: Frequency | null;
}

/** An organisation's rules as data (VE-8). A resource may override `lead_min` and `horizon_days`. */
export interface Policies {
  cancellation: RefundTier[];
  reschedule_fee_pct: number;
  /** Whole minutes */
  lead_min: number;
  /** Whole days */
  horizon_days: number;
  max_open_bookings: number;
  hold_min: number;
  no_show_strikes: number;
  requires_health_form: boolean;
  approval_purposes: Purpose[];
  weather_refund_pct: number | null;
  noise_warning_venue_ids: string[];
  quiet_hours: [string, string] | null;
}

/** Merge semantics: what is absent stays. */
export interface PoliciesPatch {
  cancellation?: RefundTier[];
  reschedule_fee_pct?: number;
  /** Whole minutes */
  lead_min?: number;
  /** Whole days */
  horizon_days?: number;
  max_open_bookings?: number;
  hold_min?: number;
  no_show_strikes?: number;
  requires_health_form?: boolean;
  approval_purposes?: Purpose[];
  weather_refund_pct?: number | null;
  noise_warning_venue_ids?: string[];
  quiet_hours?: [string, string] | null;
}

/** `version` is the organisation's: its details and its policies share it. */
export interface PoliciesView {
  cancellation: RefundTier[];
  reschedule_fee_pct: number;
  /** Whole minutes */
  lead_min: number;
  /** Whole days */
  horizon_days: number;
  max_open_bookings: number;
  hold_min: number;
  no_show_strikes: number;
  requires_health_form: boolean;
  approval_purposes: Purpose[];
  weather_refund_pct: number | null;
  noise_warning_venue_ids: string[];
  quiet_hours: [string, string] | null;
  version: number;
}

/** How a person wants to be addressed. None: as the organisation or the browser says. */
export interface Preferences {
  locale?: string | null;
  /** IANA time zone */
  timezone?: string | null;
  currency?: string | null;
  units?: Units;
  quiet_hours?: PeopleQuietHours | null;
}

/** A time of the week the person likes to play, local. `end` at or before `start` runs past midnight. */
export interface PreferredTime {
  /** 0 is Monday */
  weekday: number;
  /** HH:MM */
  start: string;
  /** HH:MM */
  end: string;
}

/** `last_seen` is when the person left; None while they are here, and when nobody knows any more. */
export interface Presence {
  account_id: string;
  state: State;
  last_seen: string | null;
}

export interface Preview {
  subject: string;
  text: string;
  html: string;
}

/** A part of the time under one rule. `rule` is its place in the price list; none where no rule applies and it is free. */
export interface PreviewSegment {
  start: string;
  end: string;
  local_start: string;
  amount: Money;
  rule: number | null;
  label: string | null;
}

/** All price rules of a venue; replaces those before. */
export interface PriceList {
  rules: PriceRule[];
}

export interface PricePreview {
  total: Money;
  segments: PreviewSegment[];
}

/** What a time costs when every condition that is stated holds. Which of several wins: `contract.tariff`. */
export interface PriceRule {
  per: Per;
  amount: Money;
  resource_ids?: string[] | null;
  weekdays?: Weekday[] | null;
  /** Local HH:MM */
  from?: string | null;
  /** Local HH:MM, or 24:00 */
  to?: string | null;
  dates?: string[] | DateRange | null;
  holiday?: boolean | null;
  purpose?: Purpose | null;
  team_size?: number | number[] | null;
  member_tier?: string | null;
  multiplier?: string | null;
  label?: string | null;
  priority?: number;
}

export interface Prices {
  rules: PriceRule[];
  version: number;
}

/** One's own profile, with who sees what. */
export interface Profile {
  id: string;
  name: string;
  handle: string | null;
  bio: string;
  photo_id: string | null;
  city: string;
  sports: PlayedSport[];
  preferred_times: PreferredTime[];
  languages: string[];
  photo: PeoplePhoto | null;
  visibility: Record<string, Visibility>;
  version: number;
}

/**
 * What is left out stays; null clears a handle or a photo. `visibility` is merged field by field.
 *
 * `photo_id` is that of an image its owner has sent to `/v1/uploads`; the photo before it is removed.
 */
export interface ProfilePatch {
  name?: string;
  /** Unique, whatever its case */
  handle?: string | null;
  bio?: string;
  photo_id?: string | null;
  city?: string;
  sports?: PlayedSport[];
  preferred_times?: PreferredTime[];
  languages?: string[];
  visibility?: Record<string, Visibility>;
}

export interface PromoCode {
  id: string;
  organisation_id: string;
  code: string;
  kind: PromoKind;
  value: number;
  /** ISO 4217 code */
  currency: string;
  label: string;
  starts_at: string | null;
  ends_at: string | null;
  total_limit: number | null;
  person_limit: number | null;
  first_time_only: boolean;
  venue_ids: string[];
  stacks: boolean;
  active: boolean;
  used: number;
  version: number;
  created_at: string;
}

/** What a code is worth stays: people were told. Make another code instead. */
export interface PromoCodePatch {
  label?: string;
  /** RFC 3339 with an offset */
  starts_at?: string | null;
  /** RFC 3339 with an offset */
  ends_at?: string | null;
  total_limit?: number | null;
  person_limit?: number | null;
  first_time_only?: boolean;
  venue_ids?: string[];
  stacks?: boolean;
  active?: boolean;
}

export interface PromoDiscount {
  code: string;
  label: string;
  discount: Money;
  total: Money;
}

export type PromoKind = "fixed" | "free_minutes" | "percent";

/** The state of one chain. `head` is the last entry's hash: noted elsewhere, it later proves that all before is unchanged. */
export interface Proof {
  organisation_id: string;
  entries: number;
  head: string;
  intact: boolean;
  fault: Fault | null;
  erased: number;
}

/** What the books of one currency say: entries, their sum (zero), and whatever does not add up (nothing). */
export interface ProofLine {
  entries: number;
  sum: number;
  faults: string[];
}

/** `callback_url` takes signed callbacks; the address is never shown again. */
export interface ProviderOut {
  id: string;
  channel: Channel;
  name: string;
  scheme: string;
  place: number;
  enabled: boolean;
  callback_url: string;
  created_at: string;
  version: number;
}

export interface ProviderPatch {
  name?: string;
  url?: string;
  place?: number;
  enabled?: boolean;
}

export interface Providers {
  items: ProviderOut[];
}

/** What a booking is for (BK-5). It decides price, party and whether staff must approve. */
export type Purpose = "assessment" | "class" | "content" | "match" | "social" | "training" | "workout";

/** The `applicationServerKey` that browsers subscribe with, and how many of one's browsers do. */
export interface PushKeyOut {
  public_key: string;
  browsers: number;
}

export interface PushSubscriptionRef {
  /** https address of the browser's push service */
  endpoint: string;
}

export interface Quote {
  id: string;
  lines: QuoteLine[];
  tax: TaxLine[];
  total: Money;
  expires_at: string;
}

/**
 * One part of the price; `rule` names the price rule that won. Reductions are negative.
 *
 * Without `kind` the label is as the owner wrote it: a place, a price rule, a promo code.
 */
export interface QuoteLine {
  label: string;
  amount: Money;
  rule: string | null;
  kind: LineKind | null;
}

/** Limits of a right. Without networks it counts from anywhere, without hours at any time. */
export interface Reach {
  networks?: string[];
  hours?: Window[];
  /** IANA time zone of the hours */
  time_zone?: string;
}

export interface Reaction {
  emoji: string;
  account_ids: string[];
}

export interface Read {
  read_seq: number;
  unread: number;
  mentions: number;
}

export interface ReadUpTo {
  seq: number;
}

export interface ReaderRow {
  account_id: string;
  read_seq: number;
}

/** What `/readyz` answers. `status` is `ready`, `not ready`, or `draining` in a process that is about to end. */
export interface Readiness {
  status: string;
  dependencies: Dependency[];
}

export interface RefreshToken {
  refresh_token: string;
}

/** Without `amount` everything that is left is given back. */
export interface RefundBody {
  reason: string;
  amount?: Money | null;
}

/**
 * What would be given back if the booking were cancelled now; `refund_pct` is the tier that holds until `until`, if one does.
 *
 * Of `refund`, `falls_away` is what is still due and was never paid; the rest comes back.
 */
export interface RefundPreview {
  refund: Money;
  refund_pct: number;
  falls_away: Money;
  until: string | null;
}

/**
 * `amount` = `to_credits` + `at_desk` + `waived`.
 *
 * `at_desk` was received at the desk and is to be handed back there; `waived` was due at the desk and no longer is.
 */
export interface RefundResult {
  refund_id: string;
  payment_id: string;
  amount: Money;
  to_credits: Money;
  at_desk: Money;
  waived: Money;
}

/** At least `before_h` hours before the start, `refund_pct` percent comes back. */
export interface RefundTier {
  before_h: number;
  refund_pct: number;
}

export interface Registration {
  /** An e-mail address; case does not matter */
  email: string;
  password: string;
  name: string;
}

export interface Reschedule {
  /** RFC 3339 with an offset */
  start: string;
  /** Whole minutes */
  duration_min?: number | null;
  resource_id?: string | null;
  price_at_most?: Money | null;
}

export interface Resource {
  id: string;
  venue_id: string;
  name: string;
  kind: ResourceKind;
  sport: string | null;
  surface: string | null;
  indoor: boolean | null;
  capacity: number;
  people: Record<string, [number, number]>;
  slot_min: number;
  durations_min: number[];
  buffer_before_min: number;
  buffer_after_min: number;
  lead_min: number | null;
  horizon_days: number | null;
  part_ids: string[];
  photo_ids: string[];
  photos: VenuesPhoto[];
  position: number;
  active: boolean;
  removed: boolean;
  version: number;
}

export type ResourceKind = "court" | "equipment" | "lane" | "pod" | "room" | "studio" | "table";

export interface ResourcePatch {
  name?: string;
  kind?: ResourceKind;
  capacity?: number;
  sport?: string | null;
  surface?: string | null;
  indoor?: boolean | null;
  people?: Record<string, [number, number]>;
  /** Whole minutes between two possible starts */
  slot_min?: number;
  durations_min?: number[];
  /** Whole minutes */
  buffer_before_min?: number;
  /** Whole minutes */
  buffer_after_min?: number;
  /** Whole minutes */
  lead_min?: number | null;
  /** Whole days */
  horizon_days?: number | null;
  part_ids?: string[];
  /** Ids of images that were sent to `uploads`, in the order shown */
  photo_ids?: string[];
  position?: number;
  active?: boolean;
}

export interface ResourceSlots {
  resource_id: string;
  slots: Slot[];
}

export interface ReverseBody {
  reason: string;
}

export interface RoleChange {
  account_id: string;
  role: RoomRole;
}

export interface RolePatch {
  name?: string;
  permissions?: string[];
  limited_to?: Reach;
}

/** `id` is null for built-in roles, which cannot be edited. */
export interface RoleView {
  id: string | null;
  name: string;
  permissions: string[];
  limited_to: Reach;
  version: number;
}

/**
 * A room as it is at `(epoch, last_seq)`: a client that applies what happens afterwards stays right.
 *
 * `role` is null for who looks at a public room without being in it. `members` are the first 100 by id.
 */
export interface RoomDetail {
  id: string;
  kind: RoomKind;
  name: string;
  title: string;
  about: string;
  organisation_id: string | null;
  subject_id: string | null;
  other_id: string | null;
  public: boolean;
  archived: boolean;
  slow_mode_s: number;
  retention_days: number | null;
  version: number;
  epoch: string;
  last_seq: number;
  role: RoomRole | null;
  notify: Notify;
  muted_until: string | null;
  read_seq: number;
  unread: number;
  mentions: number;
  member_count: number;
  members: Member[];
  readers: ReaderRow[];
  pins: string[];
  subject: RoomSubject | null;
}

export type RoomKind = "booking" | "channel" | "direct" | "group";

/** What is left out stays. `retention_days` null keeps messages for ever. */
export interface RoomPatch {
  name?: string;
  about?: string;
  public?: boolean;
  retention_days?: number | null;
  archived?: boolean;
}

export type RoomRole = "member" | "moderator" | "owner";

/** What the room of a booking is called after. */
export interface RoomSubject {
  resource: string;
  start: string;
  timezone: string;
}

/**
 * A room in its member's list. `title` is what to call it, in the caller's words: its name, or the other person's, also when
 * their account was deleted.
 */
export interface RoomView {
  id: string;
  kind: RoomKind;
  name: string;
  title: string;
  organisation_id: string | null;
  subject_id: string | null;
  other_id: string | null;
  public: boolean;
  archived: boolean;
  role: RoomRole;
  notify: Notify;
  epoch: string;
  last_seq: number;
  read_seq: number;
  unread: number;
  mentions: number;
  last_message: LastMessage | null;
  moved_at: string;
  subject: RoomSubject | null;
}

/** What a security event tells its owner (ID-11). */
export type SecurityKind = "email_confirmed" | "erasure_asked" | "erasure_off" | "erasure_taken_back" | "key_created" | "locked_out" | "logged_in" | "logged_out_everywhere" | "login_failed" | "new_device" | "password_changed" | "password_reset" | "phone_removed" | "phone_verified" | "registered" | "session_ended" | "status_changed" | "token_reused";

export interface SecurityRow {
  id: string;
  kind: string;
  detail: string;
  address: string;
  agent: string;
  at: string;
}

export type ServiceState = "degraded" | "down" | "ok";

/** One service or engine. `took_ms` is how long it took to say so, or how long it was waited for. */
export interface ServiceStatus {
  name: string;
  status: ServiceState;
  took_ms: number;
}

export type SessionKind = "browser" | "token";

export interface SessionView {
  id: string;
  kind: SessionKind;
  address: string;
  agent: string;
  created_at: string;
  used_at: string;
  expires_at: string;
  current: boolean;
}

/** What I chose for all my rooms. With `receipts` others see how far I have read, and I how far they have. */
export interface Setting {
  receipts?: boolean;
  quiet?: ChatQuietHours | null;
}

/** One bar on the day sheet: a booking or a block. */
export interface SheetEntry {
  resource_id: string;
  start: string;
  end: string;
  booking_id: string | null;
  block_id: string | null;
  status: BookingStatus | null;
  title: string;
  version: number;
}

/** A free start for the duration that was asked for. */
export interface Slot {
  start: string;
  end: string;
  local_start: string;
  price: Money;
}

export type Sort = "distance" | "name" | "price" | "relevance";

/** A booking that staff make for someone: an account, an e-mail address, or a walk-in's name. Exactly one of the three. */
export interface StaffBooking {
  resource_id: string;
  /** RFC 3339 with an offset */
  start: string;
  /** Whole minutes */
  duration_min: number;
  account_id?: string | null;
  email?: string | null;
  name?: string | null;
  purpose?: Purpose;
  team_size?: number | null;
  pay_with?: BookingPayWith | null;
  note?: string | null;
}

/** `reason` is kept with the event, for those who ask later. */
export interface Standing {
  status: OrganisationStatus;
  reason: string;
  parent_id?: string | null;
}

/** Of several sockets the most present one counts, in this order. */
export type State = "away" | "dnd" | "offline" | "online";

export interface StatusPatch {
  status: AccountStatus;
  reason: string;
}

export type Step = "listed" | "photo" | "policies" | "prices" | "resource" | "venue";

/** What someone may have begun to type. A venue has an id. */
export interface Suggestion {
  kind: SuggestionKind;
  text: string;
  venue_id: string | null;
}

export type SuggestionKind = "city" | "venue";

export interface Suggestions {
  items: Suggestion[];
}

export interface TakenBack {
  amount: Money;
}

/** A tax on what is sold. `rate` is a percentage, `"20"` or `"7.7"`; `included` means prices contain it already. */
export interface Tax {
  rate: string;
  included?: boolean;
  label?: string;
}

/** `amount` of tax at `rate` percent; `included` when the lines contain it already, else it is added to the total. */
export interface TaxLine {
  rate: string;
  amount: Money;
  included: boolean;
}

/** `shipped`: the house's own words, which change with the program; an organisation's template takes their place. */
export interface TemplateOut {
  id: string;
  event: string;
  channel: Channel;
  locale: string;
  subject: string;
  text: string;
  html: string | null;
  shipped: boolean;
  enabled: boolean;
  version: number;
  names: string[];
}

/** What is left out stays; `html` null takes the text instead. Switched off, the house's words are used. */
export interface TemplatePatch {
  subject?: string;
  text?: string;
  html?: string | null;
  enabled?: boolean;
}

/** The message that a thread begins with (none once it is gone), and the replies, ascending. */
export interface Thread {
  first: Message | null;
  items: Message[];
  more: boolean;
}

/** What an API client signs in with. `expires_in`: seconds of the access token. */
export interface Tokens {
  account: AccountCard;
  access_token: string;
  refresh_token: string;
  token_type: string;
  expires_in: number;
}

/** What a person chooses about, channel by channel. `security` always passes. */
export type Topic = "bookings" | "mentions" | "messages" | "payments" | "reminders" | "security" | "team";

export interface TopicFigure {
  topic: Topic;
  total: number;
  unread: number;
}

export interface TransitionRow {
  version: number;
  at: string;
  action: string;
  from_status: BookingStatus;
  to_status: BookingStatus;
  actor: BookingActor;
  account_id: string | null;
  detail: string;
}

export type Units = "imperial" | "metric";

/** An upload in parts. `received` is where the next part begins. */
export interface Upload {
  id: string;
  bytes: number;
  received: number;
  expires_at: string;
}

export type Urgency = "high" | "low" | "normal";

/** An image made smaller, as WebP. Widths are 320, 800 and 1600, as far as the image is wider. */
export interface Variant {
  width: number;
  height: number;
  bytes: number;
  url: string;
}

export interface Venue {
  id: string;
  organisation_id: string;
  name: string;
  slug: string;
  address: string;
  city: string | null;
  region: string | null;
  location: Location;
  timezone: string;
  opening_hours: OpeningHours;
  amenities: string[];
  description: string;
  house_rules: string;
  photo_ids: string[];
  photos: VenuesPhoto[];
  listed: boolean;
  version: number;
}

/** What a list or a search result shows of a venue. */
export interface VenueCard {
  id: string;
  organisation_id: string;
  name: string;
  slug: string;
  address: string;
  city: string | null;
  location: Location;
  timezone: string;
  sports: string[];
  amenities: string[];
  listed: boolean;
  from_price: Money | null;
  distance_km: number | null;
  photo: string | null;
  cover: VenuesPhoto | null;
}

export interface VenuePatch {
  name?: string;
  address?: string;
  location?: Location;
  /** IANA time zone, such as Europe/London */
  timezone?: string;
  opening_hours?: OpeningHours;
  amenities?: string[];
  city?: string | null;
  /** Subdivision as public holidays know it: ENG, BY, CA */
  region?: string | null;
  description?: string;
  house_rules?: string;
  /** Ids of images that were sent to `uploads`, in the order shown */
  photo_ids?: string[];
  listed?: boolean;
  slug?: string;
}

/** A venue with what a visitor wants to know of it. */
export interface VenueView {
  id: string;
  organisation_id: string;
  name: string;
  slug: string;
  address: string;
  city: string | null;
  region: string | null;
  location: Location;
  timezone: string;
  opening_hours: OpeningHours;
  amenities: string[];
  description: string;
  house_rules: string;
  photo_ids: string[];
  photos: VenuesPhoto[];
  listed: boolean;
  version: number;
  organisation: OrganisationCard;
  policies: Policies;
  closures: Closure[];
  sports: string[];
}

/** A picture as pages and programs show it. `url` is a path of this site that never changes and opens to everybody. */
export interface VenuesPhoto {
  id: string;
  url: string;
  width: number;
  height: number;
  alt: string;
  blur: string | null;
  widths: number[];
}

/** Who sees a field: anyone, people who are signed in, or its owner alone. */
export type Visibility = "members" | "private" | "public";

/**
 * Credits a person can spend at one organisation now. `lots` are in the order in which they are spent.
 *
 * `reserved` is set aside for what the organisation has not agreed to yet; it is no part of `balance`.
 */
export interface Wallet {
  organisation_id: string;
  account_id: string;
  balance: Money;
  reserved: Money;
  lots: Lot[];
}

/** One movement of a wallet; `amount` is negative for what was spent, expired or taken back. */
export interface WalletEntry {
  transfer_id: string;
  seq: number;
  at: string;
  kind: string;
  amount: number;
  currency: string;
  reason: string;
  payment_id: string | null;
  lot_id: string;
}

export interface Wanted {
  notify: Notify;
}

export type Weekday = "fri" | "mon" | "sat" | "sun" | "thu" | "tue" | "wed";

/** Of a variant, in pixels. */
export type Width = "1600" | "320" | "800";

/** From `start` until just before `end` by the clock on the wall; an end before the start is the next morning's. */
export interface Window {
  /** Days on which the window starts */
  days: ("fri" | "mon" | "sat" | "sun" | "thu" | "tue" | "wed")[];
  start: string;
  end: string;
}

/** By operation: what `Api.call` takes, and what it resolves with. */
export interface Operations {
  /**
   * Who did what to which object, newest first.
   *
   * `object` narrows to entries that mention the object, `actor` to a person or a key; `from` is included, `to` is not.
   *
   * For staff with `audit.read`.
   *
   * Problems: `forbidden`, `invalid`.
   */
  audit_entries: { asks: { path: { org_id: string }; query?: { object?: string; actor?: string; action?: string; from?: string; to?: string; limit?: number; cursor?: string } }; answers: Page<AuditEntry> };
  /**
   * The entries as a file: CSV for a spreadsheet, or JSON lines.
   *
   * Oldest first, at most 366 days and 100,000 entries; without `from` and `to`, the last 366 days. `intact` says of each
   * entry whether it is as it was sealed, `erased` what is gone because somebody's account was erased; a number that is left
   * out in an export without filters is an entry that is gone. `X-Total-Count` says how many there are, `X-Audit-Head` where
   * the chain ends. A file that breaks off breaks the connection. In CSV a cell that a spreadsheet would run has an
   * apostrophe in front; JSON lines are exact. The export is an entry itself.
   *
   * For staff with `audit.read`.
   *
   * Problems: `forbidden`, `export_too_large`, `invalid`.
   */
  audit_export: { asks: { path: { org_id: string }; query?: { format?: ExportFormat; object?: string; actor?: string; action?: string; from?: string; to?: string } }; answers: Response };
  /**
   * Recomputes the organisation's chain and says whether it is intact.
   *
   * Note `head` somewhere else; `noted` later proves that everything up to it is unchanged.
   *
   * For staff with `audit.read`.
   *
   * Problems: `forbidden`, `invalid`.
   */
  audit_proof: { asks: { path: { org_id: string }; query?: { noted?: string } }; answers: Proof };
  /**
   * Say yes. Signed in, the invitation becomes yours and you join the booking's room.
   *
   * Problems: `forbidden`, `invitation_taken`, `invitation_over`, `invalid`.
   */
  booking_accept_invitation: { asks: { path: { token: string } }; answers: GuestInvitation };
  /**
   * Approve a booking that waits for it.
   *
   * For staff with `booking.approve`.
   *
   * Problems: `forbidden`, `conflict`, `invalid_transition`, `invalid`.
   */
  booking_approve: { asks: { path: { org_id: string; id: string }; idempotencyKey?: string }; answers: BookingOut };
  /**
   * Ask once more who said no, or was taken off; three times in all. Whoever is invited stays so.
   *
   * Problems: `email_unconfirmed`, `forbidden`, `asked_often`, `conflict`, `invalid_transition`, `invitation_declined`,
   * `invalid`.
   */
  booking_ask_again: { asks: { path: { id: string; invitee_id: string }; idempotencyKey?: string }; answers: Invitee };
  /**
   * Ask once more who said no to a booking that stands, or was taken off, in the name of whose it is.
   *
   * For staff with `booking.update_any`.
   *
   * Problems: `email_unconfirmed`, `forbidden`, `asked_often`, `conflict`, `invalid_transition`, `invitation_declined`,
   * `invalid`.
   */
  booking_ask_any_again: { asks: { path: { org_id: string; id: string; invitee_id: string }; idempotencyKey?: string }; answers: Invitee };
  /**
   * Free starts at several venues, named or near a point.
   *
   * Unknown venues are left out. Near a point: the 20 nearest that are listed and have something for the sport, nearest
   * first.
   *
   * Problems: `invalid`.
   */
  booking_availabilities: { asks: { query: { venue_ids?: string[]; near?: string; radius_km?: number; from: string; to?: string; duration_min?: number; team_size?: number; purpose?: Purpose; sport?: string } }; answers: Availabilities };
  /**
   * Free starts at a venue, with prices. At most 31 days and 100 things at once.
   *
   * Problems: `invalid`.
   */
  booking_availability: { asks: { path: { venue_id: string }; query: { from: string; to?: string; duration_min?: number; team_size?: number; purpose?: Purpose; resource_id?: string; sport?: string } }; answers: Availability };
  /**
   * Blocks by their start.
   *
   * For staff with `booking.read_any`.
   *
   * Problems: `forbidden`, `invalid`.
   */
  booking_blocks: { asks: { path: { org_id: string }; query?: { limit?: number; cursor?: string; venue_id?: string; from?: string } }; answers: Page<Block> };
  /**
   * Book a place. Without `pay_with` it is held and paid for later; a refused payment holds nothing.
   *
   * Problems: `insufficient_credits`, `admin_cannot_book`, `email_unconfirmed`, `forbidden`, `organisation_inactive`,
   * `conflict`, `hold_expired`, `invalid_transition`, `resource_inactive`, `slot_taken`, `too_many_open_bookings`,
   * `venue_closed`, `quote_expired`, `capacity_exceeded`, `invalid`, `means_not_set_up`, `outside_horizon`, `promo_rejected`,
   * `quote_mismatch`.
   */
  booking_book: { asks: { body: NewBooking; idempotencyKey?: string }; answers: BookingOut };
  /**
   * Book for an account, an e-mail address or a walk-in.
   *
   * For staff with `booking.create_any`.
   *
   * Problems: `insufficient_credits`, `admin_cannot_book`, `email_unconfirmed`, `forbidden`, `organisation_inactive`,
   * `conflict`, `hold_expired`, `invalid_transition`, `resource_inactive`, `slot_taken`, `too_many_open_bookings`,
   * `venue_closed`, `quote_expired`, `capacity_exceeded`, `invalid`, `means_not_set_up`, `outside_horizon`, `promo_rejected`,
   * `quote_mismatch`.
   */
  booking_book_for: { asks: { path: { org_id: string }; body: StaffBooking; idempotencyKey?: string }; answers: BookingOut };
  /**
   * One booking as a calendar file.
   *
   * Problems: `forbidden`, `invalid`.
   */
  booking_calendar_file: { asks: { path: { id: string } }; answers: Response };
  /**
   * Cancel. Of `refund`, what was still due falls away, as the refund preview says; the rest goes back.
   *
   * Problems: `forbidden`, `booking_overtaken`, `conflict`, `invalid_transition`, `refund_changed`, `invalid`.
   */
  booking_cancel: { asks: { path: { id: string }; body?: Cancel; idempotencyKey?: string }; answers: BookingOut };
  /**
   * Cancel a booking, with the refund of the policy.
   *
   * For staff with `booking.cancel_any`.
   *
   * Problems: `forbidden`, `booking_overtaken`, `conflict`, `invalid_transition`, `refund_changed`, `invalid`.
   */
  booking_cancel_any: { asks: { path: { org_id: string; id: string }; body?: Cancel; idempotencyKey?: string }; answers: BookingOut };
  /**
   * A venue's day: opening hours, bookings and blocks.
   *
   * For staff with `booking.read_any`.
   *
   * Problems: `forbidden`, `invalid`.
   */
  booking_day: { asks: { path: { org_id: string; id: string }; query: { date: string } }; answers: DaySheet };
  /**
   * Decline a booking that waits for approval, and say why.
   *
   * For staff with `booking.approve`.
   *
   * Problems: `forbidden`, `conflict`, `invalid_transition`, `invalid`.
   */
  booking_decline: { asks: { path: { org_id: string; id: string }; body: Decline; idempotencyKey?: string }; answers: BookingOut };
  /**
   * Say no, also after a yes.
   *
   * Problems: `forbidden`, `invitation_taken`, `invitation_over`, `invalid`.
   */
  booking_decline_invitation: { asks: { path: { token: string } }; answers: GuestInvitation };
  /**
   * Change purpose, party or note; the price follows.
   *
   * Problems: `insufficient_credits`, `forbidden`, `organisation_inactive`, `booking_overtaken`, `invalid_transition`,
   * `price_changed`, `resource_inactive`, `slot_taken`, `venue_closed`, `capacity_exceeded`, `invalid`, `outside_horizon`.
   */
  booking_edit: { asks: { path: { id: string }; body?: BookingPatch; ifMatch?: number }; answers: BookingOut };
  /**
   * Change purpose, party or note of a booking.
   *
   * For staff with `booking.update_any`.
   *
   * Problems: `insufficient_credits`, `forbidden`, `organisation_inactive`, `booking_overtaken`, `invalid_transition`,
   * `price_changed`, `resource_inactive`, `slot_taken`, `venue_closed`, `capacity_exceeded`, `invalid`, `outside_horizon`.
   */
  booking_edit_any: { asks: { path: { org_id: string; id: string }; body?: BookingPatch; ifMatch?: number }; answers: BookingOut };
  /**
   * Close the private address of your calendar.
   *
   * Problems: `forbidden`, `invalid`.
   */
  booking_end_feed: { asks: {}; answers: void };
  /**
   * Close the private address of a resource's calendar.
   *
   * For staff with `booking.read_any`.
   *
   * Problems: `forbidden`, `invalid`.
   */
  booking_end_resource_feed: { asks: { path: { org_id: string; resource_id: string } }; answers: void };
  /**
   * Give it another length; `duration_min` is the whole.
   *
   * Problems: `insufficient_credits`, `forbidden`, `organisation_inactive`, `booking_overtaken`, `conflict`,
   * `invalid_transition`, `price_changed`, `resource_inactive`, `slot_taken`, `venue_closed`, `capacity_exceeded`, `invalid`,
   * `outside_horizon`.
   */
  booking_extend: { asks: { path: { id: string }; body: Extend; idempotencyKey?: string; ifMatch?: number }; answers: BookingOut };
  /**
   * Give a booking another length.
   *
   * For staff with `booking.update_any`.
   *
   * Problems: `insufficient_credits`, `forbidden`, `organisation_inactive`, `booking_overtaken`, `conflict`,
   * `invalid_transition`, `price_changed`, `resource_inactive`, `slot_taken`, `venue_closed`, `capacity_exceeded`, `invalid`,
   * `outside_horizon`.
   */
  booking_extend_any: { asks: { path: { org_id: string; id: string }; body: Extend; idempotencyKey?: string; ifMatch?: number }; answers: BookingOut };
  /**
   * The calendar behind a private address, for calendar programs.
   *
   * Problems: `invalid`.
   */
  booking_feed: { asks: { query: { token: string } }; answers: Response };
  /**
   * What happened to one of your bookings, the oldest first.
   *
   * Problems: `forbidden`, `invalid`.
   */
  booking_history: { asks: { path: { id: string } }; answers: BookingHistory };
  /**
   * What happened to a booking, the oldest first.
   *
   * For staff with `booking.read_any`.
   *
   * Problems: `forbidden`, `invalid`.
   */
  booking_history_of_any: { asks: { path: { org_id: string; id: string } }; answers: BookingHistory };
  /**
   * An invitation by the token of its link, without an account; or one of your own by its id.
   *
   * Problems: `invitation_taken`, `invitation_over`, `invalid`.
   */
  booking_invitation: { asks: { path: { token: string } }; answers: GuestInvitation };
  /**
   * Invite one more, by account or by e-mail address. Whoever is invited already stays so.
   *
   * Problems: `email_unconfirmed`, `forbidden`, `asked_often`, `conflict`, `invalid_transition`, `invitation_declined`,
   * `invalid`.
   */
  booking_invite: { asks: { path: { id: string }; body?: NewInvitee; idempotencyKey?: string }; answers: Invitee };
  /**
   * Invite one more to a booking that stands, in the name of whose it is.
   *
   * For staff with `booking.update_any`.
   *
   * Problems: `email_unconfirmed`, `forbidden`, `asked_often`, `conflict`, `invalid_transition`, `invitation_declined`,
   * `invalid`.
   */
  booking_invite_to_any: { asks: { path: { org_id: string; id: string }; body?: NewInvitee; idempotencyKey?: string }; answers: Invitee };
  /**
   * Who is invited to one of your bookings, and how each invitation stands.
   *
   * Problems: `forbidden`, `invalid`.
   */
  booking_invitees: { asks: { path: { id: string } }; answers: Invitees };
  /**
   * Who is invited to a booking, and how each invitation stands.
   *
   * For staff with `booking.read_any`.
   *
   * Problems: `forbidden`, `invalid`.
   */
  booking_invitees_of_any: { asks: { path: { org_id: string; id: string } }; answers: Invitees };
  /**
   * Make the private address of your calendar. The one before stops working.
   *
   * Problems: `forbidden`, `invalid`.
   */
  booking_make_feed: { asks: {}; answers: Feed };
  /**
   * Make the private address of a resource's calendar. The one before stops working.
   *
   * For staff with `booking.read_any`.
   *
   * Problems: `forbidden`, `invalid`.
   */
  booking_make_resource_feed: { asks: { path: { org_id: string; resource_id: string } }; answers: Feed };
  /**
   * Your bookings, the latest start first, or with `soonest=true` the earliest.
   *
   * Problems: `forbidden`, `invalid`.
   */
  booking_mine: { asks: { query?: { limit?: number; cursor?: string; status?: BookingStatus[]; from?: string; to?: string; soonest?: boolean } }; answers: Page<BookingOut> };
  /**
   * Move a booking; moving it back undoes it. No fee is taken.
   *
   * For staff with `booking.update_any`.
   *
   * Problems: `insufficient_credits`, `forbidden`, `organisation_inactive`, `booking_overtaken`, `conflict`,
   * `invalid_transition`, `price_changed`, `resource_inactive`, `slot_taken`, `venue_closed`, `capacity_exceeded`, `invalid`,
   * `outside_horizon`.
   */
  booking_move_any: { asks: { path: { org_id: string; id: string }; body: Reschedule; idempotencyKey?: string; ifMatch?: number }; answers: BookingOut };
  /**
   * The bookings of others that you are invited to and have not declined, the earliest start first.
   *
   * Problems: `forbidden`, `invalid`.
   */
  booking_my_invitations: { asks: {}; answers: GuestInvitations };
  /**
   * Note that nobody came.
   *
   * For staff with `booking.update_any`.
   *
   * Problems: `forbidden`, `conflict`, `invalid_transition`, `invalid`.
   */
  booking_no_show: { asks: { path: { org_id: string; id: string }; idempotencyKey?: string }; answers: BookingOut };
  /**
   * An organisation's bookings, the earliest start first.
   *
   * For staff with `booking.read_any`.
   *
   * Problems: `forbidden`, `invalid`.
   */
  booking_of_organisation: { asks: { path: { org_id: string }; query?: { limit?: number; cursor?: string; status?: BookingStatus[]; from?: string; to?: string; venue_id?: string; resource_id?: string; account_id?: string } }; answers: Page<BookingOut> };
  /**
   * Pay for a held booking. A refused payment leaves the hold.
   *
   * Problems: `insufficient_credits`, `email_unconfirmed`, `forbidden`, `conflict`, `hold_expired`, `invalid_transition`,
   * `invalid`, `means_not_set_up`, `promo_rejected`.
   */
  booking_pay: { asks: { path: { id: string }; body: Pay; idempotencyKey?: string }; answers: BookingOut };
  /**
   * Pay for a held booking, at the desk or from its person's credits.
   *
   * For staff with `booking.create_any`.
   *
   * Problems: `insufficient_credits`, `email_unconfirmed`, `forbidden`, `conflict`, `hold_expired`, `invalid_transition`,
   * `invalid`, `means_not_set_up`, `promo_rejected`.
   */
  booking_pay_any: { asks: { path: { org_id: string; id: string }; body: Pay; idempotencyKey?: string }; answers: BookingOut };
  /**
   * Take time out, once or by a rule. Bookings in the way are listed and stay.
   *
   * For staff with `booking.block`.
   *
   * Problems: `forbidden`, `blocked`, `conflict`, `invalid`.
   */
  booking_place_block: { asks: { path: { org_id: string }; body: NewBlock; idempotencyKey?: string }; answers: Block };
  /**
   * When a block would happen and which bookings it would hit, with places they could move to.
   *
   * For staff with `booking.block`.
   *
   * Problems: `forbidden`, `invalid`.
   */
  booking_preview_block: { asks: { path: { org_id: string }; body: NewBlock }; answers: BlockPreview };
  /**
   * A price that holds for 15 minutes. The place is not held.
   *
   * Problems: `forbidden`, `organisation_inactive`, `conflict`, `resource_inactive`, `venue_closed`, `capacity_exceeded`,
   * `invalid`, `outside_horizon`, `promo_rejected`.
   */
  booking_quote: { asks: { body: NewQuote; idempotencyKey?: string }; answers: Quote };
  /**
   * One of your bookings.
   *
   * Problems: `forbidden`, `invalid`.
   */
  booking_read: { asks: { path: { id: string } }; answers: BookingOut };
  /**
   * One of an organisation's bookings.
   *
   * For staff with `booking.read_any`.
   *
   * Problems: `forbidden`, `invalid`.
   */
  booking_read_any: { asks: { path: { org_id: string; id: string } }; answers: BookingOut };
  /**
   * What cancelling now would give back.
   *
   * Problems: `forbidden`, `invalid_transition`, `invalid`.
   */
  booking_refund_preview: { asks: { path: { id: string } }; answers: RefundPreview };
  /**
   * What cancelling a booking now would give back.
   *
   * For staff with `booking.read_any`.
   *
   * Problems: `forbidden`, `invalid_transition`, `invalid`.
   */
  booking_refund_preview_any: { asks: { path: { org_id: string; id: string } }; answers: RefundPreview };
  /**
   * Give blocked time back.
   *
   * For staff with `booking.block`.
   *
   * Problems: `forbidden`, `invalid`.
   */
  booking_remove_block: { asks: { path: { org_id: string; id: string } }; answers: void };
  /**
   * Move to another time or place. The old place is kept until the new one is won.
   *
   * Problems: `insufficient_credits`, `forbidden`, `organisation_inactive`, `booking_overtaken`, `conflict`,
   * `invalid_transition`, `price_changed`, `resource_inactive`, `slot_taken`, `venue_closed`, `capacity_exceeded`, `invalid`,
   * `outside_horizon`.
   */
  booking_reschedule: { asks: { path: { id: string }; body: Reschedule; idempotencyKey?: string; ifMatch?: number }; answers: BookingOut };
  /**
   * What occupies a court, a room or a table, behind a private address of staff, for calendar programs.
   *
   * Problems: `invalid`.
   */
  booking_resource_feed: { asks: { query: { token: string } }; answers: Response };
  /**
   * Take an invitation back. Whoever had heard of it hears of this, and leaves the booking's room.
   *
   * Problems: `forbidden`, `invalid`.
   */
  booking_withdraw: { asks: { path: { id: string; invitee_id: string } }; answers: void };
  /**
   * Take an invitation of a booking back.
   *
   * For staff with `booking.update_any`.
   *
   * Problems: `forbidden`, `invalid`.
   */
  booking_withdraw_any: { asks: { path: { org_id: string; id: string; invitee_id: string } }; answers: void };
  /**
   * Bring people into a room, or join a public one myself. Answers with those who were not there before.
   *
   * Problems: `banned`, `forbidden`, `not_a_member`, `fixed_membership`, `room_archived`, `room_full`, `too_many_rooms`,
   * `invalid`.
   */
  chat_add: { asks: { path: { id: string }; body?: NewMembers }; answers: Member[] };
  /**
   * Who is banned from a room, for its moderators.
   *
   * Problems: `forbidden`, `not_a_member`, `invalid`.
   */
  chat_bans: { asks: { path: { id: string }; query?: { limit?: number; cursor?: string } }; answers: Page<BanRow> };
  /**
   * Change a room, as one of its owners.
   *
   * Problems: `forbidden`, `not_a_member`, `invalid`.
   */
  chat_change: { asks: { path: { id: string }; body?: RoomPatch; ifMatch?: number }; answers: RoomDetail };
  /**
   * Find public channels of organisations.
   *
   * Problems: `forbidden`, `invalid`.
   */
  chat_channels: { asks: { query?: { limit?: number; cursor?: string; organisation_id?: string; q?: string } }; answers: Page<OpenRoom> };
  /**
   * Choose whether others see how far I have read, and when I am not to be disturbed.
   *
   * Problems: `forbidden`, `invalid`.
   */
  chat_choose: { asks: { body?: Setting }; answers: Setting };
  /**
   * Make a room.
   *
   * A direct room of two people is always the same one: it is answered with 200 when they have it already. Organisations'
   * channels are made at `/v1/orgs/{org_id}/channels`.
   *
   * Problems: `forbidden`, `conflict`, `too_many_rooms`, `invalid`.
   */
  chat_create: { asks: { body: NewRoom; idempotencyKey?: string }; answers: RoomDetail };
  /**
   * Make a channel of the organisation.
   *
   * For staff with `chat.manage_channels`.
   *
   * Problems: `forbidden`, `conflict`, `too_many_rooms`, `invalid`.
   */
  chat_create_channel: { asks: { path: { org_id: string }; body: NewChannel; idempotencyKey?: string }; answers: RoomDetail };
  /**
   * Say it differently. What it said before is kept.
   *
   * Problems: `forbidden`, `muted`, `not_a_member`, `message_deleted`, `room_archived`, `invalid`.
   */
  chat_edit: { asks: { path: { id: string }; body: MessageEdit }; answers: Message };
  /**
   * What a message said before it was edited, the latest first.
   *
   * Problems: `forbidden`, `invalid`.
   */
  chat_edits: { asks: { path: { id: string } }; answers: EditRow[] };
  /**
   * What was said in a room, one message of JSON a line, ascending.
   *
   * At most `limit` lines; the number of the last is in `X-Last-Seq`, to go on from with `after_seq`. Without the header
   * there is nothing more.
   *
   * Problems: `forbidden`, `invalid`.
   */
  chat_export: { asks: { path: { id: string }; query?: { after_seq?: number; limit?: number } }; answers: Response };
  /**
   * A file that was attached in a room, with addresses that work for a while.
   *
   * Problems: `forbidden`, `invalid`.
   */
  chat_file: { asks: { path: { id: string; file_id: string } }; answers: MediaCard };
  /**
   * What was said in a room, ascending.
   *
   * Problems: `forbidden`, `invalid`.
   */
  chat_history: { asks: { path: { id: string }; query?: { before_seq?: number; after_seq?: number; limit?: number } }; answers: ChatHistory };
  /**
   * What the organisation chose for its rooms.
   *
   * For staff with `chat.manage_channels`.
   *
   * Problems: `forbidden`, `invalid`.
   */
  chat_house_rule: { asks: { path: { org_id: string } }; answers: HouseRule };
  /**
   * A room, as it is at `(epoch, last_seq)`.
   *
   * Problems: `forbidden`, `invalid`.
   */
  chat_look: { asks: { path: { id: string } }; answers: RoomDetail };
  /**
   * Who is in a room.
   *
   * Problems: `forbidden`, `invalid`.
   */
  chat_members: { asks: { path: { id: string }; query?: { limit?: number; cursor?: string } }; answers: Page<Member> };
  /**
   * My rooms, the one where something was said last first.
   *
   * Problems: `forbidden`, `invalid`.
   */
  chat_mine: { asks: { query?: { limit?: number; cursor?: string } }; answers: Page<RoomView> };
  /**
   * Mute, remove or ban somebody, or slow the room down.
   *
   * Problems: `forbidden`, `not_a_member`, `fixed_membership`, `invalid`.
   */
  chat_moderate: { asks: { path: { id: string }; body: Moderation }; answers: void };
  /**
   * Choose what of a room I want to be told of.
   *
   * Problems: `forbidden`, `invalid`.
   */
  chat_notify: { asks: { path: { id: string }; body: Wanted }; answers: void };
  /**
   * Pin a message.
   *
   * Problems: `forbidden`, `not_a_member`, `message_deleted`, `room_archived`, `too_many`, `invalid`.
   */
  chat_pin: { asks: { path: { id: string; message_id: string } }; answers: Message };
  /**
   * What is pinned in a room, the newest pin first.
   *
   * Problems: `forbidden`, `invalid`.
   */
  chat_pins: { asks: { path: { id: string } }; answers: Message[] };
  /**
   * Which members of a room of mine are here, and when the others were last.
   *
   * Problems: `forbidden`, `invalid`.
   */
  chat_presence: { asks: { path: { id: string } }; answers: Company };
  /**
   * React with an emoji.
   *
   * Problems: `forbidden`, `not_a_member`, `message_deleted`, `room_archived`, `too_many`, `invalid`.
   */
  chat_react: { asks: { path: { id: string; emoji: string } }; answers: Message };
  /**
   * I have read as far as this. Positions only go forward.
   *
   * Problems: `forbidden`, `invalid`.
   */
  chat_read: { asks: { path: { id: string }; body: ReadUpTo }; answers: Read };
  /**
   * Leave a room, or take somebody out as a moderator.
   *
   * Problems: `forbidden`, `not_a_member`, `fixed_membership`, `last_room_owner`, `invalid`.
   */
  chat_remove: { asks: { path: { id: string }; query?: { account_id?: string } }; answers: void };
  /**
   * Find messages in my rooms, the newest first.
   *
   * Problems: `forbidden`, `invalid`.
   */
  chat_search: { asks: { query: { limit?: number; cursor?: string; q: string; room_id?: string } }; answers: Page<FoundRow> };
  /**
   * Say something. The same `client_id` again is answered with the message that is there.
   *
   * Problems: `forbidden`, `muted`, `not_a_member`, `room_archived`, `invalid`.
   */
  chat_send: { asks: { path: { id: string }; body: NewMessage }; answers: Message };
  /**
   * Choose for the organisation's rooms.
   *
   * For staff with `chat.manage_channels`.
   *
   * Problems: `forbidden`, `invalid`.
   */
  chat_set_house_rule: { asks: { path: { org_id: string }; body?: HouseRule }; answers: HouseRule };
  /**
   * Give a member another role, as an owner.
   *
   * Problems: `forbidden`, `not_a_member`, `last_room_owner`, `invalid`.
   */
  chat_set_role: { asks: { path: { id: string }; body: RoleChange }; answers: Member };
  /**
   * What I chose for all my rooms.
   *
   * Problems: `forbidden`, `invalid`.
   */
  chat_setting: { asks: {}; answers: Setting };
  /**
   * Show nothing of what stands behind a message's links: mine, or as a moderator.
   *
   * Problems: `forbidden`, `not_a_member`, `invalid`.
   */
  chat_take_previews_away: { asks: { path: { id: string } }; answers: void };
  /**
   * The thread that a message begins or is in.
   *
   * Problems: `forbidden`, `invalid`.
   */
  chat_thread: { asks: { path: { id: string }; query?: { after_seq?: number; limit?: number } }; answers: Thread };
  /**
   * Unpin a message.
   *
   * Problems: `forbidden`, `not_a_member`, `room_archived`, `invalid`.
   */
  chat_unpin: { asks: { path: { id: string; message_id: string } }; answers: void };
  /**
   * Take a reaction back.
   *
   * Problems: `forbidden`, `not_a_member`, `invalid`.
   */
  chat_unreact: { asks: { path: { id: string; emoji: string } }; answers: Message };
  /**
   * What waits for me in all rooms.
   *
   * Problems: `forbidden`, `invalid`.
   */
  chat_unread: { asks: {}; answers: ChatUnread };
  /**
   * Delete a message: mine, or as a moderator.
   *
   * Problems: `forbidden`, `not_a_member`, `invalid`.
   */
  chat_unsay: { asks: { path: { id: string } }; answers: void };
  /**
   * Begin an upload in parts.
   *
   * Send the parts to the address in `Location`, in order, then finish it. It may take a day.
   *
   * Problems: `forbidden`, `media_quota_full`, `too_many_uploads`, `invalid`.
   */
  media_begin: { asks: { body: NewUpload }; answers: Upload };
  /**
   * Take back a file that is not attached to anything, or an upload that is under way.
   *
   * Problems: `forbidden`, `media_in_use`, `invalid`.
   */
  media_discard: { asks: { path: { id: string } }; answers: void };
  /**
   * The bytes of a file, or of the variant of a width.
   *
   * Public files open to everybody; others by the signed address of their card, or to whoever sent them.
   *
   * Problems: `invalid`.
   */
  media_fetch: { asks: { path: { id: string }; query?: { width?: Width; v?: string; expires?: number; signature?: string } }; answers: Response };
  /**
   * Make the parts a file, which has the upload's id. Asked again, it answers the same.
   *
   * Problems: `forbidden`, `media_quota_full`, `upload_incomplete`, `invalid`, `media_too_large`.
   */
  media_finish: { asks: { path: { id: string } }; answers: MediaCard };
  /**
   * How far an upload in parts has come: where the next part begins. HEAD tells it in `Upload-Offset`.
   *
   * Problems: `forbidden`, `invalid`.
   */
  media_progress: { asks: { path: { id: string } }; answers: Upload };
  /**
   * Send the next part, at most 4 MiB, as `application/offset+octet-stream`.
   *
   * `Upload-Offset` says where it begins. A part that breaks off has not been sent; ask where to go on.
   *
   * Problems: `forbidden`, `upload_offset`, `invalid`.
   */
  media_receive: { asks: { path: { id: string }; content: BodyInit }; answers: void };
  /**
   * Send a file of one's own.
   *
   * Taken are JPEG, PNG, WebP and GIF images (20 MiB, 40 million pixels), PDF (20 MiB), MP3, M4A and Ogg (25 MiB), WebM and
   * MP4 (100 MiB), by what is in them. Of an image a copy is kept that says neither where nor with what it was taken. Name
   * the id where the file belongs within a day; after that it is gone.
   *
   * Problems: `forbidden`, `media_quota_full`, `invalid`, `media_too_large`.
   */
  media_send: { asks: { form: { file: Blob; alt?: string } }; answers: MediaCard };
  /**
   * Send a file that the organisation holds, such as a photo of a venue.
   *
   * Problems: `forbidden`, `media_quota_full`, `invalid`, `media_too_large`.
   */
  media_send_for_organisation: { asks: { path: { org_id: string }; form: { file: Blob; alt?: string } }; answers: MediaCard };
  /**
   * Ask to be erased, thirty days from now; asked again, the day stays.
   *
   * Until then the account works as before, and the wish can be taken back. On the day upcoming bookings are cancelled by the
   * rules of their places, credits are lost, and what says who the person was is removed; figures stay without a name.
   *
   * A wrong password counts like a failed log-in. `last_owner` carries `organisation_ids`: somebody else has to be made owner
   * of these first.
   *
   * Problems: `forbidden`, `last_admin`, `last_owner`, `invalid`.
   */
  my_account_ask_for_erasure: { asks: { body: Erasure }; answers: ErasureView };
  /**
   * End one session. Its tokens stop working within seconds.
   *
   * Problems: `forbidden`, `invalid`.
   */
  my_account_end_session: { asks: { path: { id: string } }; answers: void };
  /**
   * Give a phone number, or ask for another code.
   *
   * A six-digit code goes there as a text and works for 10 minutes; one sent before is void. A number that is verified stays
   * until the new one is. At most five texts an hour.
   *
   * Problems: `forbidden`, `invalid`.
   */
  my_account_give_phone: { asks: { body: NewPhone }; answers: void };
  /**
   * Keep the account after all. Without a wish there is nothing to do.
   *
   * Problems: `forbidden`, `invalid`.
   */
  my_account_keep_account: { asks: {}; answers: void };
  /**
   * The account, and its roles per organisation.
   *
   * Problems: `forbidden`, `invalid`.
   */
  my_account_me: { asks: {}; answers: Me };
  /**
   * Remove the number, and one that waits for its code. Without a number there is nothing to do.
   *
   * Problems: `forbidden`, `invalid`.
   */
  my_account_remove_phone: { asks: {}; answers: void };
  /**
   * What happened to the account's security, newest first.
   *
   * Problems: `forbidden`, `invalid`.
   */
  my_account_security_events: { asks: { query?: { limit?: number; cursor?: string } }; answers: Page<SecurityRow> };
  /**
   * Where the account is signed in, newest first.
   *
   * Problems: `forbidden`, `invalid`.
   */
  my_account_sessions: { asks: { query?: { limit?: number; cursor?: string } }; answers: Page<SessionView> };
  /**
   * Show by the code that the number is one's own. A code is good for five tries; a number belongs to one account.
   *
   * Problems: `forbidden`, `phone_taken`, `code_wrong`, `invalid`.
   */
  my_account_verify_phone: { asks: { body: PhoneCode }; answers: void };
  /**
   * Asks whether mails of the link's topic, digests, or all to an address without an account shall end, or says that they.
   *
   * have. It changes nothing.
   *
   * Problems: `unsubscribe_link_invalid`, `invalid`.
   */
  notifications_ask_to_leave: { asks: { path: { token: string } }; answers: Response };
  /**
   * Removes one for good.
   *
   * Problems: `forbidden`, `invalid`.
   */
  notifications_dismiss: { asks: { path: { id: string } }; answers: void };
  /**
   * Marks one as read or unread, puts it away or takes it back.
   *
   * Problems: `forbidden`, `invalid`.
   */
  notifications_edit: { asks: { path: { id: string }; body?: NotificationPatch }; answers: Notification };
  /**
   * What a provider tells of a message, signed as standardwebhooks.com says.
   *
   * Problems: `forbidden`, `invalid`.
   */
  notifications_hear: { asks: { path: { provider: string }; body: Callback }; answers: void };
  /**
   * What the house told the person, newest first.
   *
   * Problems: `forbidden`, `invalid`.
   */
  notifications_inbox: { asks: { query?: { limit?: number; cursor?: string; archived?: boolean; unread?: boolean; topic?: Topic } }; answers: Page<Notification> };
  /**
   * Ends mails of the link's topic, digests, or all to an address without an account (RFC 8058, one click).
   *
   * Problems: `forbidden`, `unsubscribe_link_invalid`, `invalid`.
   */
  notifications_leave: { asks: { path: { token: string } }; answers: Response };
  /**
   * Sends events to an address from now on, signed with the key in the answer.
   *
   * For staff with `webhooks.manage`.
   *
   * Problems: `forbidden`, `address_refused`, `invalid`.
   */
  notifications_of_an_organisation_add_endpoint: { asks: { path: { org_id: string }; body: NewEndpoint }; answers: NewEndpointOut };
  /**
   * Adds a gateway; its address is sealed.
   *
   * For staff with `notifications.manage`.
   *
   * Problems: `forbidden`, `address_refused`, `invalid`.
   */
  notifications_of_an_organisation_add_provider: { asks: { path: { org_id: string }; body: NewProvider }; answers: NewProviderOut };
  /**
   * Puts the organisation's own words in place of the shipped ones.
   *
   * For staff with `notifications.manage`.
   *
   * Problems: `forbidden`, `template_exists`, `invalid`, `template_invalid`.
   */
  notifications_of_an_organisation_add_template: { asks: { path: { org_id: string }; body: NewTemplate }; answers: TemplateOut };
  /**
   * What was sent, newest first.
   *
   * For staff with `notifications.manage`.
   *
   * Problems: `forbidden`, `invalid`.
   */
  notifications_of_an_organisation_deliveries: { asks: { path: { org_id: string }; query?: { limit?: number; cursor?: string; status?: DeliveryStatus; channel?: Channel } }; answers: Page<DeliveryOut> };
  /**
   * One message with every try.
   *
   * For staff with `notifications.manage`.
   *
   * Problems: `forbidden`, `invalid`.
   */
  notifications_of_an_organisation_delivery: { asks: { path: { org_id: string; id: string } }; answers: DeliveryDetail };
  /**
   * Sends nothing there any more.
   *
   * For staff with `webhooks.manage`.
   *
   * Problems: `forbidden`, `invalid`.
   */
  notifications_of_an_organisation_drop_endpoint: { asks: { path: { org_id: string; id: string } }; answers: void };
  /**
   * Removes a gateway.
   *
   * For staff with `notifications.manage`.
   *
   * Problems: `forbidden`, `invalid`.
   */
  notifications_of_an_organisation_drop_provider: { asks: { path: { org_id: string; id: string } }; answers: void };
  /**
   * Changes its name, place or address, or switches it off.
   *
   * For staff with `notifications.manage`.
   *
   * Problems: `forbidden`, `address_refused`, `invalid`.
   */
  notifications_of_an_organisation_edit_provider: { asks: { path: { org_id: string; id: string }; body?: ProviderPatch; ifMatch?: number }; answers: ProviderOut };
  /**
   * A new version of it; every version is kept.
   *
   * For staff with `notifications.manage`.
   *
   * Problems: `forbidden`, `invalid`, `template_invalid`.
   */
  notifications_of_an_organisation_edit_template: { asks: { path: { org_id: string; id: string }; body?: TemplatePatch; ifMatch?: number }; answers: TemplateOut };
  /**
   * Where the organisation's events are sent.
   *
   * For staff with `webhooks.manage`.
   *
   * Problems: `forbidden`, `invalid`.
   */
  notifications_of_an_organisation_endpoints: { asks: { path: { org_id: string } }; answers: Endpoints };
  /**
   * The template, or a draft of it, with sample values.
   *
   * For staff with `notifications.manage`.
   *
   * Problems: `forbidden`, `invalid`, `template_invalid`.
   */
  notifications_of_an_organisation_preview: { asks: { path: { org_id: string; id: string }; body?: Draft }; answers: Preview };
  /**
   * The organisation's gateways, in the order in which they are tried. Addresses are never shown.
   *
   * For staff with `notifications.manage`.
   *
   * Problems: `forbidden`, `invalid`.
   */
  notifications_of_an_organisation_providers: { asks: { path: { org_id: string } }; answers: Providers };
  /**
   * Sends a failed message again.
   *
   * For staff with `notifications.manage`.
   *
   * Problems: `forbidden`, `not_replayable`, `invalid`.
   */
  notifications_of_an_organisation_replay: { asks: { path: { org_id: string; id: string } }; answers: DeliveryOut };
  /**
   * Every template: the organisation's where it has one, else the one that ships.
   *
   * For staff with `notifications.manage`.
   *
   * Problems: `forbidden`, `invalid`.
   */
  notifications_of_an_organisation_templates: { asks: { path: { org_id: string }; query?: { limit?: number; cursor?: string; event?: string; channel?: Channel; locale?: string } }; answers: Page<TemplateOut> };
  /**
   * Sends it with sample values to the person who asks.
   *
   * For staff with `notifications.manage`.
   *
   * Problems: `forbidden`, `invalid`, `template_invalid`.
   */
  notifications_of_an_organisation_test: { asks: { path: { org_id: string; id: string }; body?: Draft }; answers: DeliveryOut };
  /**
   * Replaces them.
   *
   * Problems: `forbidden`, `invalid`.
   */
  notifications_prefer: { asks: { body?: NotificationPreferences }; answers: NotificationPreferences };
  /**
   * Which channels carry which topics, quiet hours and digest.
   *
   * Problems: `forbidden`, `invalid`.
   */
  notifications_preferences: { asks: {}; answers: NotificationPreferences };
  /**
   * The key that browsers subscribe to pushes with.
   *
   * Problems: `forbidden`, `invalid`.
   */
  notifications_push_key: { asks: {}; answers: PushKeyOut };
  /**
   * Marks some or all as read; returns how many are not.
   *
   * Problems: `forbidden`, `invalid`.
   */
  notifications_read: { asks: { body?: MarkRead }; answers: NotificationsUnread };
  /**
   * How much came in 30 days, by topic, and how much is unread.
   *
   * Problems: `forbidden`, `invalid`.
   */
  notifications_statistics: { asks: {}; answers: InboxStatistics };
  /**
   * Takes back what an unsubscribe link has ended.
   *
   * Problems: `forbidden`, `unsubscribe_link_invalid`, `invalid`.
   */
  notifications_stay: { asks: { path: { token: string } }; answers: Response };
  /**
   * Sends pushes to a browser from now on.
   *
   * Problems: `forbidden`, `address_refused`, `invalid`.
   */
  notifications_subscribe: { asks: { body: NewPushSubscription }; answers: PushKeyOut };
  /**
   * Sends no more pushes to a browser.
   *
   * Problems: `forbidden`, `invalid`.
   */
  notifications_unsubscribe_browser: { asks: { body: PushSubscriptionRef }; answers: void };
  /**
   * What the organisations of a franchise come to.
   *
   * For the parent: bookings that begin in the days, their time, and revenue by the ledger, per child and together. Without
   * `from` and `to`, the last 30 days; at most 366. Amounts of different currencies are never added up.
   *
   * For staff with `analytics.read`.
   *
   * Problems: `forbidden`, `invalid`.
   */
  organisations_report: { asks: { path: { org_id: string }; query?: { from?: string; to?: string } }; answers: FranchiseReport };
  /**
   * Change when, where and how often a promo code can be used, or switch it off.
   *
   * For staff with `payments.manage`.
   *
   * Problems: `forbidden`, `invalid`.
   */
  payments_change_promo_code: { asks: { path: { org_id: string; id: string }; body?: PromoCodePatch; ifMatch?: number }; answers: PromoCode };
  /**
   * What a promo code would take off. Reserves nothing.
   *
   * Problems: `forbidden`, `invalid`, `promo_rejected`.
   */
  payments_check: { asks: { body: CheckBody }; answers: PromoDiscount };
  /**
   * The ledger, oldest first; `from` is included, `to` is not.
   *
   * Positive amounts are what the organisation owes or has earned, negative ones what it holds or has given away.
   *
   * For staff with `payments.read`.
   *
   * Problems: `forbidden`, `invalid`.
   */
  payments_entries: { asks: { path: { org_id: string }; query?: { account?: string; from?: string; to?: string; limit?: number; cursor?: string } }; answers: Page<EntryRow> };
  /**
   * Give someone credits. An `account_id` that nobody has is refused.
   *
   * For staff with `payments.grant_credits`.
   *
   * Problems: `forbidden`, `conflict`, `grant_mismatch`, `invalid`.
   */
  payments_grant: { asks: { path: { org_id: string }; body: GrantBody; idempotencyKey?: string }; answers: Lot };
  /**
   * What happened to your credits at an organisation, newest first.
   *
   * Problems: `forbidden`, `invalid`.
   */
  payments_history: { asks: { path: { org_id: string }; query?: { limit?: number; cursor?: string } }; answers: Page<WalletEntry> };
  /**
   * Make a promo code.
   *
   * For staff with `payments.manage`.
   *
   * Problems: `forbidden`, `conflict`, `promo_code_taken`, `invalid`.
   */
  payments_make_promo_code: { asks: { path: { org_id: string }; body: NewPromoCode; idempotencyKey?: string }; answers: PromoCode };
  /**
   * One of your payments: its charges, what was given back, what is due at the desk.
   *
   * Problems: `forbidden`, `invalid`.
   */
  payments_payment: { asks: { path: { id: string } }; answers: PaymentState };
  /**
   * A payment made here.
   *
   * For staff with `payments.read`.
   *
   * Problems: `forbidden`, `invalid`.
   */
  payments_payment_for_staff: { asks: { path: { org_id: string; id: string } }; answers: PaymentState };
  /**
   * Promo codes, by code.
   *
   * For staff with `payments.manage`.
   *
   * Problems: `forbidden`, `invalid`.
   */
  payments_promo_codes: { asks: { path: { org_id: string }; query?: { limit?: number; cursor?: string } }; answers: Page<PromoCode> };
  /**
   * Whether the books add up, per currency.
   *
   * For staff with `payments.read`.
   *
   * Problems: `forbidden`, `invalid`.
   */
  payments_proof: { asks: { path: { org_id: string } }; answers: Record<string, ProofLine> };
  /**
   * Give back a payment or a part of it, to where it came from.
   *
   * Credits return to the lots they were spent from; one that has expired is good for 30 more days. What was received at the
   * desk is handed back there; what is still due there is due no longer.
   *
   * For staff with `payments.refund`.
   *
   * Problems: `forbidden`, `conflict`, `refund_exceeds_payment`, `refund_mismatch`, `invalid`.
   */
  payments_refund: { asks: { path: { org_id: string; id: string }; body: RefundBody; idempotencyKey?: string }; answers: RefundResult };
  /**
   * Take back what is left of credits that should not have been given.
   *
   * For staff with `payments.grant_credits`.
   *
   * Problems: `forbidden`, `conflict`, `invalid`.
   */
  payments_reverse: { asks: { path: { org_id: string; lot_id: string }; body: ReverseBody; idempotencyKey?: string }; answers: TakenBack };
  /**
   * Note that what is due was received, and what is owed was handed back, at the desk.
   *
   * For staff with `booking.check_in`.
   *
   * Problems: `forbidden`, `conflict`, `invalid`.
   */
  payments_settle: { asks: { path: { org_id: string; id: string }; idempotencyKey?: string }; answers: PaymentState };
  /**
   * Your credits at every organisation, lots in the order in which they are spent.
   *
   * Problems: `forbidden`, `invalid`.
   */
  payments_wallets: { asks: {}; answers: Wallet[] };
  /**
   * Ask for a copy of everything that is kept of me.
   *
   * The link is for whoever asked, signed in as now, and works for an hour. A wrong password counts like a failed log-in.
   *
   * Problems: `forbidden`, `invalid`.
   */
  people_ask_for_export: { asks: { body: ExportWish }; answers: ExportLink };
  /**
   * Edit my profile.
   *
   * Problems: `forbidden`, `handle_taken`, `invalid`.
   */
  people_edit: { asks: { body?: ProfilePatch; ifMatch?: number }; answers: Profile };
  /**
   * Everything that is kept of me, as a ZIP archive.
   *
   * A JSON file, an array, for each kind of record; the files that I sent, below `files/`; and a README in my language.
   * Passwords, keys and other secrets are left out, and others appear as ids, or by the names that I see. The archive is made
   * while it is sent. One that breaks off breaks the connection, and does not open.
   *
   * Problems: `export_link_invalid`, `forbidden`, `invalid`.
   */
  people_export: { asks: { query?: { expires?: number; signature?: string } }; answers: Response };
  /**
   * A person, by id or by @handle. Each field is shown to those its owner chose.
   *
   * Problems: `invalid`.
   */
  people_look: { asks: { path: { id: string } }; answers: PersonView };
  /**
   * My profile, and who sees which part of it.
   *
   * Problems: `forbidden`, `invalid`.
   */
  people_mine: { asks: {}; answers: Profile };
  /**
   * Replace my preferences.
   *
   * Problems: `forbidden`, `invalid`.
   */
  people_prefer: { asks: { body?: Preferences }; answers: Preferences };
  /**
   * My preferences.
   *
   * Problems: `forbidden`, `invalid`.
   */
  people_preferences: { asks: {}; answers: Preferences };
  /**
   * Accounts, newest first.
   *
   * Problems: `forbidden`, `invalid`.
   */
  platform_accounts: { asks: { query?: { limit?: number; cursor?: string; q?: string; status?: AccountStatus } }; answers: Page<AdminRow> };
  /**
   * What happened to the security of accounts in the last year, newest first.
   *
   * Problems: `forbidden`, `invalid`.
   */
  platform_security_events: { asks: { query?: { limit?: number; cursor?: string; account_id?: string; kind?: SecurityKind; from?: string; to?: string } }; answers: Page<AdminSecurityRow> };
  /**
   * Suspend, ban or reinstate an account. Suspension ends its sessions and sockets within seconds.
   *
   * What was erased stays it, and nobody erases but the person: `erased` is no status to set.
   *
   * Problems: `forbidden`, `conflict`, `invalid`.
   */
  platform_set_status: { asks: { path: { id: string }; body: StatusPatch }; answers: AdminRow };
  /**
   * Send a new code. Always 202.
   *
   * Problems: `forbidden`, `invalid`.
   */
  signing_in_ask_for_code: { asks: { body: Asking }; answers: void };
  /**
   * Send a link to choose a new password. Always 202.
   *
   * Problems: `forbidden`, `invalid`.
   */
  signing_in_ask_for_reset: { asks: { body: Asking }; answers: void };
  /**
   * Change the password. Every other session ends.
   *
   * Problems: `forbidden`, `invalid`.
   */
  signing_in_change_password: { asks: { body: ChangedPassword }; answers: void };
  /**
   * Verify an address by the link's token, or by address and code.
   *
   * Problems: `forbidden`, `code_wrong`, `invalid`, `link_invalid`.
   */
  signing_in_confirm: { asks: { body?: Confirmation }; answers: void };
  /**
   * Public keys that access tokens are signed with.
   *
   * Problems: `invalid`.
   */
  signing_in_keys: { asks: {}; answers: KeySet };
  /**
   * Sign in.
   *
   * The answer to a wrong password is the same whether the account exists or not. Ten failures lock for 15 minutes.
   *
   * Problems: `account_suspended`, `forbidden`, `invalid`.
   */
  signing_in_log_in: { asks: { body: Login }; answers: Tokens };
  /**
   * End the session of a refresh token.
   *
   * Problems: `forbidden`, `invalid`.
   */
  signing_in_log_out: { asks: { body: RefreshToken }; answers: void };
  /**
   * End every session of the account, this one included.
   *
   * Problems: `forbidden`, `invalid`.
   */
  signing_in_log_out_everywhere: { asks: {}; answers: void };
  /**
   * New tokens for a refresh token, which is spent by this.
   *
   * A refresh token that comes a second time ends its session: refresh once, and share the answer.
   *
   * Problems: `forbidden`, `invalid`.
   */
  signing_in_refresh: { asks: { body: RefreshToken }; answers: Tokens };
  /**
   * Make an account and sign in.
   *
   * The account is `unconfirmed` until its address is verified by the code or the link in the mail.
   *
   * Problems: `forbidden`, `email_taken`, `invalid`.
   */
  signing_in_register: { asks: { body: Registration }; answers: Tokens };
  /**
   * Choose a new password by the link's token. Every session ends.
   *
   * Problems: `forbidden`, `invalid`, `link_invalid`.
   */
  signing_in_reset_password: { asks: { body: NewPassword }; answers: void };
  /**
   * Join the staff by the token of an invitation to one's own address.
   *
   * Problems: `forbidden`, `not_invited`, `invalid`, `link_invalid`.
   */
  staff_and_keys_accept: { asks: { path: { token: string } }; answers: Place };
  /**
   * Add an account to the staff at once. To invite somebody by e-mail, use invitations.
   *
   * The person is told by mail, and may leave. Their `email` stays empty until they accepted by the link in it.
   *
   * For staff with `staff.manage`.
   *
   * Problems: `email_unconfirmed`, `forbidden`, `conflict`, `invalid`.
   */
  staff_and_keys_add: { asks: { path: { org_id: string }; body: NewMember }; answers: MemberView };
  /**
   * Keys in use, newest first.
   *
   * For staff with `keys.manage`.
   *
   * Problems: `forbidden`, `invalid`.
   */
  staff_and_keys_api_keys: { asks: { path: { org_id: string }; query?: { limit?: number; cursor?: string } }; answers: Page<ApiKeyRow> };
  /**
   * Give somebody another role, or other limits: networks and hours to which the role is limited; `{}` lifts them.
   *
   * Nobody gives or takes more than they have themselves, changes their own limits, or gives anything while limited.
   *
   * For staff with `staff.manage`.
   *
   * Problems: `forbidden`, `last_owner`, `invalid`.
   */
  staff_and_keys_change_role: { asks: { path: { org_id: string; account_id: string }; body?: MemberPatch; ifMatch?: number }; answers: MemberView };
  /**
   * Define a role of the organisation's own, if wanted limited to networks and hours.
   *
   * For staff with `staff.manage`.
   *
   * Problems: `forbidden`, `role_name_taken`, `invalid`.
   */
  staff_and_keys_define_role: { asks: { path: { org_id: string }; body: NewRole }; answers: RoleView };
  /**
   * Edit a role; everybody who has it is affected at once.
   *
   * For staff with `staff.manage`.
   *
   * Problems: `forbidden`, `role_name_taken`, `invalid`.
   */
  staff_and_keys_edit_role: { asks: { path: { org_id: string; id: string }; body?: RolePatch; ifMatch?: number }; answers: RoleView };
  /**
   * The invitations that somebody may still accept, the newest first.
   *
   * For staff with `staff.manage`.
   *
   * Problems: `forbidden`, `invalid`.
   */
  staff_and_keys_invitations: { asks: { path: { org_id: string } }; answers: OpenInvitations };
  /**
   * Invite somebody by e-mail. The link works for seven days, for that address.
   *
   * For staff with `staff.manage`.
   *
   * Problems: `email_unconfirmed`, `forbidden`, `invalid`.
   */
  staff_and_keys_invite: { asks: { path: { org_id: string }; body: Invitation }; answers: Invited };
  /**
   * Send an open invitation anew. It has another id and another link, for seven days; the link of before opens nothing.
   *
   * For staff with `staff.manage`.
   *
   * Problems: `email_unconfirmed`, `forbidden`, `invalid`.
   */
  staff_and_keys_invite_again: { asks: { path: { org_id: string; invitation_id: string } }; answers: Invited };
  /**
   * Make a key. It is shown once, and may at most what its maker may; outside its limits it is refused with 401.
   *
   * For staff with `keys.manage`.
   *
   * Problems: `forbidden`, `conflict`, `invalid`.
   */
  staff_and_keys_make_key: { asks: { path: { org_id: string }; body: NewKey }; answers: NewKeyView };
  /**
   * Who works here.
   *
   * For staff with `staff.read`.
   *
   * Problems: `forbidden`, `invalid`.
   */
  staff_and_keys_members: { asks: { path: { org_id: string }; query?: { limit?: number; cursor?: string } }; answers: Page<MemberView> };
  /**
   * Remove somebody from the staff, or leave. The last owner cannot leave.
   *
   * Problems: `forbidden`, `last_owner`, `invalid`.
   */
  staff_and_keys_remove: { asks: { path: { org_id: string; account_id: string } }; answers: void };
  /**
   * Remove a role that nobody has.
   *
   * For staff with `staff.manage`.
   *
   * Problems: `forbidden`, `role_in_use`, `invalid`.
   */
  staff_and_keys_remove_role: { asks: { path: { org_id: string; id: string } }; answers: void };
  /**
   * Revoke a key. It stops working within seconds.
   *
   * For staff with `keys.manage`.
   *
   * Problems: `forbidden`, `invalid`.
   */
  staff_and_keys_revoke_key: { asks: { path: { org_id: string; id: string } }; answers: void };
  /**
   * Roles that can be given.
   *
   * The first page begins with the built-in ones, on top of `limit` of the organisation's own.
   *
   * For staff with `staff.read`.
   *
   * Problems: `forbidden`, `invalid`.
   */
  staff_and_keys_roles: { asks: { path: { org_id: string }; query?: { limit?: number; cursor?: string } }; answers: Page<RoleView> };
  /**
   * Take an open invitation back: its link opens nothing any more.
   *
   * For staff with `staff.manage`.
   *
   * Problems: `forbidden`, `invalid`.
   */
  staff_and_keys_uninvite: { asks: { path: { org_id: string; invitation_id: string } }; answers: void };
  /**
   * The process runs.
   *
   * Problems: `invalid`.
   */
  system_alive: { asks: {}; answers: Health };
  /**
   * The events of the house and the frames of its socket, as an AsyncAPI document.
   *
   * Problems: `invalid`.
   */
  system_asyncapi: { asks: {}; answers: Response };
  /**
   * Prometheus metrics of this process, and, where background work is done, of the house.
   *
   * Problems: `invalid`.
   */
  system_metrics: { asks: {}; answers: Response };
  /**
   * This document.
   *
   * Problems: `invalid`.
   */
  system_openapi: { asks: {}; answers: Response };
  /**
   * The process and what it needs work; 503 when something does not, or when the process is about to end.
   *
   * Problems: `invalid`.
   */
  system_ready: { asks: {}; answers: Readiness };
  /**
   * How every service is, and what all of them need.
   *
   * Always 200: `status` says it. In a house of several processes each of them is asked; the answer is up to two seconds old.
   *
   * Problems: `invalid`.
   */
  system_status: { asks: {}; answers: HouseStatus };
  /**
   * Add something that can be booked.
   *
   * For staff with `venues.edit`.
   *
   * Problems: `forbidden`, `invalid`.
   */
  venues_add_resource: { asks: { path: { org_id: string; id: string }; body: NewResource }; answers: Resource };
  /**
   * Shut a venue on some dates or on public holidays.
   *
   * Bookings that exist are not touched.
   *
   * For staff with `venues.edit`.
   *
   * Problems: `forbidden`, `invalid`.
   */
  venues_close: { asks: { path: { org_id: string; id: string }; body: NewClosure }; answers: Closure };
  /**
   * List a venue's closures.
   *
   * Problems: `forbidden`, `invalid`.
   */
  venues_closures: { asks: { path: { org_id: string; id: string } }; answers: Closures };
  /**
   * Create a venue.
   *
   * For staff with `venues.edit`.
   *
   * Problems: `forbidden`, `slug_taken`, `invalid`.
   */
  venues_create: { asks: { path: { org_id: string }; body: NewVenue }; answers: Venue };
  /**
   * Say in words what a photo shows, of the venue or of something that can be booked there.
   *
   * For staff with `venues.edit`.
   *
   * Problems: `forbidden`, `invalid`.
   */
  venues_describe_photo: { asks: { path: { org_id: string; id: string; photo_id: string }; body: Description }; answers: VenuesPhoto };
  /**
   * Change a venue.
   *
   * `photo_ids` names images that were sent to the organisation's uploads, in the order shown; those left out are removed.
   *
   * For staff with `venues.edit`.
   *
   * Problems: `forbidden`, `slug_taken`, `invalid`.
   */
  venues_edit: { asks: { path: { org_id: string; id: string }; body?: VenuePatch; ifMatch?: number }; answers: Venue };
  /**
   * Change an organisation's details.
   *
   * For staff with `venues.edit`.
   *
   * Problems: `forbidden`, `slug_taken`, `invalid`.
   */
  venues_edit_organisation: { asks: { path: { org_id: string }; body?: OrganisationPatch; ifMatch?: number }; answers: Organisation };
  /**
   * Change an organisation's policies.
   *
   * For staff with `venues.edit`.
   *
   * Problems: `forbidden`, `invalid`.
   */
  venues_edit_policies: { asks: { path: { org_id: string }; body?: PoliciesPatch; ifMatch?: number }; answers: PoliciesView };
  /**
   * Change a resource, switch it off or on.
   *
   * It gets no more parts while it is booked or blocked at any time to come, itself or as a part of something.
   *
   * For staff with `venues.edit`.
   *
   * Problems: `forbidden`, `resource_in_use`, `invalid`.
   */
  venues_edit_resource: { asks: { path: { org_id: string; id: string; resource_id: string }; body?: ResourcePatch; ifMatch?: number }; answers: Resource };
  /**
   * Create an organisation; you become its owner.
   *
   * Problems: `forbidden`, `slug_taken`, `invalid`.
   */
  venues_found: { asks: { body: NewOrganisation }; answers: Organisation };
  /**
   * List organisations that nobody can book.
   *
   * Those that are not active, and those without a listed venue that has a price.
   *
   * Problems: `forbidden`, `invalid`.
   */
  venues_needing_attention: { asks: { query?: { limit?: number; cursor?: string; status?: OrganisationStatus } }; answers: Page<OrganisationsAfter> };
  /**
   * What is still to do before people can book.
   *
   * Problems: `forbidden`, `invalid`.
   */
  venues_onboarding: { asks: { path: { org_id: string } }; answers: Onboarding };
  /**
   * Read an organisation.
   *
   * Problems: `forbidden`, `invalid`.
   */
  venues_organisation: { asks: { path: { org_id: string } }; answers: Organisation };
  /**
   * Read an organisation's policies.
   *
   * Problems: `forbidden`, `invalid`.
   */
  venues_policies: { asks: { path: { org_id: string } }; answers: PoliciesView };
  /**
   * See what a time would cost, and which rule wins.
   *
   * Problems: `forbidden`, `capacity_exceeded`, `invalid`.
   */
  venues_preview_price: { asks: { path: { org_id: string; id: string }; query: { resource_id: string; start: string; duration_min?: number; team_size?: number; purpose?: Purpose; member_tier?: string } }; answers: PricePreview };
  /**
   * Read a venue's price list.
   *
   * Problems: `forbidden`, `invalid`.
   */
  venues_prices: { asks: { path: { org_id: string; id: string } }; answers: Prices };
  /**
   * List what can be booked at a venue.
   *
   * Problems: `invalid`.
   */
  venues_public_resources: { asks: { path: { id: string }; query?: { limit?: number; cursor?: string } }; answers: Page<Resource> };
  /**
   * Read a venue.
   *
   * Problems: `invalid`.
   */
  venues_read: { asks: { path: { id: string } }; answers: VenueView };
  /**
   * Remove a resource for good.
   *
   * Bookings that exist stay as they are.
   *
   * For staff with `venues.edit`.
   *
   * Problems: `forbidden`, `resource_in_use`, `invalid`.
   */
  venues_remove_resource: { asks: { path: { org_id: string; id: string; resource_id: string } }; answers: void };
  /**
   * Take a closure back.
   *
   * For staff with `venues.edit`.
   *
   * Problems: `forbidden`, `invalid`.
   */
  venues_reopen: { asks: { path: { org_id: string; id: string; closure_id: string } }; answers: void };
  /**
   * Read a resource as its owner.
   *
   * Problems: `forbidden`, `invalid`.
   */
  venues_resource: { asks: { path: { org_id: string; id: string; resource_id: string } }; answers: Resource };
  /**
   * List a venue's resources, inactive ones too.
   *
   * Problems: `forbidden`, `invalid`.
   */
  venues_resources: { asks: { path: { org_id: string; id: string }; query?: { limit?: number; cursor?: string } }; answers: Page<Resource> };
  /**
   * Find venues.
   *
   * Nearest first when `near` is given, best match when `q` is, otherwise by name. A page that asks for free time may be
   * short and still have a next one.
   *
   * Problems: `invalid`.
   */
  venues_search: { asks: { query?: { limit?: number; cursor?: string; near?: string; radius_km?: number; sport?: string; amenities?: string[]; indoor?: boolean; min_price?: number; max_price?: number; currency?: string; free_at?: string; duration_min?: number; q?: string; sort?: Sort; organisation_id?: string } }; answers: Page<VenueCard> };
  /**
   * Replace a venue's price list.
   *
   * For staff with `venues.edit`.
   *
   * Problems: `forbidden`, `invalid`.
   */
  venues_set_prices: { asks: { path: { org_id: string; id: string }; body: PriceList; ifMatch?: number }; answers: Prices };
  /**
   * Suspend, deactivate or take back an organisation.
   *
   * Problems: `forbidden`, `invalid`.
   */
  venues_set_standing: { asks: { path: { id: string }; body: Standing }; answers: Organisation };
  /**
   * Complete what someone types: cities and venues.
   *
   * Problems: `invalid`.
   */
  venues_suggest: { asks: { query?: { q?: string } }; answers: Suggestions };
  /**
   * Read a venue as its owner.
   *
   * Problems: `forbidden`, `invalid`.
   */
  venues_venue: { asks: { path: { org_id: string; id: string } }; answers: Venue };
  /**
   * List an organisation's venues, unlisted ones too.
   *
   * Problems: `forbidden`, `invalid`.
   */
  venues_venues: { asks: { path: { org_id: string }; query?: { limit?: number; cursor?: string } }; answers: Page<Venue> };
}
