package supervisor

// connection is what is known of one AMQP connection from the frames that went over it.
type connection struct {
	outgoing, incoming frameReader
	channels           map[uint16]*channel
	lost               bool   // the frames are not understood any more
	unsent             []byte // what a call made to fail would have sent
}

// channel is one channel of a connection.
type channel struct {
	confirms   bool   // publisher confirms are on
	published  uint64 // messages since then: the number that the broker confirms by
	consumers  map[string]consumer
	consuming  []consumer // those that the broker has yet to name
	getting    []string   // queues asked for a single message
	deliveries map[uint64]string
}

// consumer is one subscription.
type consumer struct {
	queue     string
	automatic bool // its deliveries are never acknowledged
}

func newConnection() *connection {
	return &connection{outgoing: frameReader{start: true}, channels: make(map[uint16]*channel)}
}

func (c *connection) channel(number uint16) *channel {
	ch := c.channels[number]
	if ch == nil {
		ch = &channel{consumers: make(map[string]consumer), deliveries: make(map[uint64]string)}
		c.channels[number] = ch
	}
	return ch
}

// sent is a publish or an ack that a call carries to the broker.
type sent struct {
	kind    kind
	method  method
	channel *channel
	queues  []string // routing key of a publish, queues of the deliveries that an ack covers
	number  uint64   // of a publish, by which it will be confirmed; 0 without confirms
}

// send takes bytes on their way to the broker and returns the publishes and acks that they complete.
func (c *connection) send(data []byte) ([]sent, error) {
	var found []sent
	err := c.outgoing.feed(data, func(m method) {
		ch := c.channel(m.channel)
		arguments := fields(m.arguments)
		switch m.id {
		case channelOpen:
			delete(c.channels, m.channel)
		case confirmSelect:
			ch.confirms = true
		case basicConsume:
			arguments.short()
			subscription := consumer{queue: arguments.text()}
			tag := arguments.text()
			subscription.automatic = arguments.octet()&2 != 0
			if tag == "" {
				ch.consuming = append(ch.consuming, subscription)
				break
			}
			ch.consumers[tag] = subscription
		case basicGet:
			arguments.short()
			ch.getting = append(ch.getting, arguments.text())
		case basicPublish:
			arguments.short()
			arguments.text() // exchange
			publish := sent{kind: kindPublish, method: m, channel: ch, queues: []string{arguments.text()}}
			if ch.confirms {
				ch.published++
				publish.number = ch.published
			}
			found = append(found, publish)
		case basicAck:
			tag, multiple := arguments.longlong(), arguments.octet()&1 != 0
			found = append(found, sent{kind: kindAck, method: m, channel: ch, queues: ch.settle(tag, multiple)})
		case basicNack:
			ch.settle(arguments.longlong(), arguments.octet()&1 != 0)
		}
	})
	return found, err
}

// settle forgets deliveries that are acknowledged, and returns their queues.
func (ch *channel) settle(tag uint64, multiple bool) []string {
	if !multiple {
		queue := ch.deliveries[tag]
		delete(ch.deliveries, tag)
		return []string{queue}
	}
	var queues []string
	for number, queue := range ch.deliveries {
		if tag == 0 || number <= tag {
			queues = append(queues, queue)
			delete(ch.deliveries, number)
		}
	}
	return queues
}

// confirmation is the broker's word about publishes.
type confirmation struct {
	channel  *channel
	number   uint64
	multiple bool
	refused  bool
}

// covers reports whether the broker's word is about a publish.
func (c confirmation) covers(ch *channel, number uint64) bool {
	return c.channel == ch && (c.number == number || c.multiple && (c.number >= number || c.number == 0))
}

// receive takes bytes from the broker and returns the confirmations that they complete.
func (c *connection) receive(data []byte) ([]confirmation, error) {
	var found []confirmation
	err := c.incoming.feed(data, func(m method) {
		ch := c.channel(m.channel)
		arguments := fields(m.arguments)
		switch m.id {
		case basicConsumeOk:
			if len(ch.consuming) > 0 {
				ch.consumers[arguments.text()] = ch.consuming[0]
				ch.consuming = ch.consuming[1:]
			}
		case basicDeliver:
			if from := ch.consumers[arguments.text()]; !from.automatic {
				ch.deliveries[arguments.longlong()] = from.queue
			}
		case basicGetOk, basicGetEmpty:
			if len(ch.getting) == 0 {
				break
			}
			if m.id == basicGetOk {
				ch.deliveries[arguments.longlong()] = ch.getting[0]
			}
			ch.getting = ch.getting[1:]
		case basicAck, basicNack:
			found = append(found, confirmation{
				channel: ch, number: arguments.longlong(), multiple: arguments.octet()&1 != 0, refused: m.id == basicNack,
			})
		}
	})
	return found, err
}
