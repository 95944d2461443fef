//! Attribute names that native values know, as an enum: a call on the hot path compares no text.

macro_rules! names {
    ($($name:ident)*) => {
        /// An attribute name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[allow(missing_docs, non_camel_case_types)]
        pub enum Name {
            /// None of the others.
            Other,
            $($name),*
        }

        impl Name {
            /// Name of a text.
            pub fn of(text: &str) -> Name {
                match text {
                    $(stringify!($name) => Name::$name,)*
                    "as" | "in" => Name::Other,
                    _ => Name::Other,
                }
            }
        }
    };
}

names! {
    get deep_get deep_walk udm udm_path event_time_epoch to_dict copy lookup
    items keys values append add update pop remove extend insert clear setdefault popitem discard index count sort
    reverse union intersection difference symmetric_difference issubset issuperset isdisjoint
    intersection_update difference_update fromkeys
    lower upper casefold title capitalize swapcase strip lstrip rstrip startswith endswith split rsplit splitlines
    partition rpartition replace join find rfind rindex format format_map encode decode isalpha isdigit isalnum
    isnumeric isdecimal isupper islower istitle isspace isascii isprintable isidentifier zfill ljust rjust center
    expandtabs removeprefix removesuffix translate hex fromhex maketrans
    bit_length to_bytes from_bytes is_integer
    search fullmatch findall finditer sub subn groups group groupdict start end span pattern flags
    is_private is_global is_loopback is_multicast is_reserved is_link_local is_unspecified version compressed exploded
    packed num_addresses network_address broadcast_address prefixlen netmask hosts subnet_of supernet_of overlaps
    with_prefixlen ipv4_mapped
    year month day hour minute second microsecond tzinfo weekday isoweekday isoformat strftime timestamp timetuple
    date time days seconds microseconds total_seconds utcoffset astimezone tzname toordinal min max
    now utcnow today fromtimestamp utcfromtimestamp fromisoformat strptime combine utc
    scheme netloc path params query fragment hostname port username password geturl
    ratio args with_traceback msg reason doc pos
}
// `match` and others that are words of Rust.
impl Name {
    /// True for a name that some native value may have.
    pub fn known(text: &str) -> bool {
        Name::of(text) != Name::Other || matches!(text, "match" | "__name__" | "__class__" | "__doc__" | "__dict__")
    }
}
